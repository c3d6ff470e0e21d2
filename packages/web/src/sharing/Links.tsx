import { ActionIcon, Alert, Button, Stack, Text } from '@mantine/core';
import { IconLink, IconLinkOff, IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { describe } from '../api/error';
import type { ShareLink } from '../api/types';
import { CopyLink } from '../components/CopyLink';
import { Panel } from '../components/Panel';
import { RelativeTime } from '../components/RelativeTime';
import { Row, Rows, Tag } from '../components/Rows';
import { GRANT_ROLES } from '../components/roles';
import { NewLinkForm } from './NewLinkForm';
import { useLinks, useRevokeLink } from './queries';

/** The links by which people can open the document who are not listed, with or without an account. */
export function Links({ documentId }: { documentId: string }) {
  const links = useLinks(documentId);
  const [isNew, setNew] = useState(false);
  return (
    <Stack gap="md">
      <Text size="sm" c="dimmed">
        Anybody who has such a link can open the document, also without an account. A link that is
        revoked or has expired takes back what it gave.
      </Text>
      <Panel query={links} what="The links" empty="There are no links yet.">
        <Rows label="Links">
          {links.data?.map((link) => (
            <LinkRow key={link.linkId} documentId={documentId} link={link} />
          ))}
        </Rows>
      </Panel>
      {isNew ? (
        <NewLinkForm documentId={documentId} onClose={() => setNew(false)} />
      ) : (
        <Button
          variant="light"
          mr="auto"
          leftSection={<IconPlus size={18} />}
          onClick={() => setNew(true)}
        >
          New link
        </Button>
      )}
    </Stack>
  );
}

function LinkRow({ documentId, link }: { documentId: string; link: ShareLink }) {
  const revoke = useRevokeLink(documentId);
  const { linkId, token, role, hasPassword, expiresAt, createdAt } = link;
  const isOver = expiresAt !== null && Date.parse(expiresAt) <= Date.now();
  const title = GRANT_ROLES.find(({ value }) => value === role)?.label ?? role;
  const Icon = isOver ? IconLinkOff : IconLink;
  return (
    <Row
      icon={<Icon size={22} stroke={1.6} aria-hidden />}
      title={title}
      tags={
        <>
          {isOver && <Tag color="gray">Expired</Tag>}
          {hasPassword && <Tag>Password</Tag>}
        </>
      }
      subtitle={
        revoke.isError ? (
          <Alert color="red" p="xs" mt={4}>
            {describe(revoke.error)}
          </Alert>
        ) : (
          <>
            Made <RelativeTime time={createdAt} />
            {expiresAt !== null && (
              <>
                {' '}
                · {isOver ? 'expired' : 'expires'} <RelativeTime time={expiresAt} />
              </>
            )}
          </>
        )
      }
      actions={
        <>
          {!isOver && <CopyLink path={`/l/${token}`} label="Copy" size="xs" />}
          <ActionIcon
            size={34}
            aria-label={`Revoke the link “${title}”`}
            title="Revoke"
            loading={revoke.isPending}
            onClick={() => revoke.mutate(linkId)}
          >
            <IconTrash size={18} />
          </ActionIcon>
        </>
      }
    />
  );
}

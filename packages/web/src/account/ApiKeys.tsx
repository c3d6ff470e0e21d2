import { ActionIcon, Button } from '@mantine/core';
import { IconKey, IconPlus, IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import type { ApiKey } from '../api/types';
import { Panel } from '../components/Panel';
import { RelativeTime } from '../components/RelativeTime';
import { Row, Rows, Tag } from '../components/Rows';
import { Section } from '../components/Section';
import { ConfirmDialog } from '../forms/ConfirmDialog';
import { NewApiKeyDialog } from './NewApiKeyDialog';
import { useApiKeys, useRevokeApiKey } from './queries';

/** The keys by which programs act for the user. */
export function ApiKeys() {
  const keys = useApiKeys();
  const [isNew, setNew] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey>();
  return (
    <Section
      title="API keys"
      lead="For programs that act in your name. They can do no more than you, and only what you choose."
      action={
        <Button
          size="xs"
          variant="light"
          flex="none"
          leftSection={<IconPlus size={17} />}
          onClick={() => setNew(true)}
        >
          New key
        </Button>
      }
    >
      <Panel query={keys} what="Your keys" empty="You have no keys.">
        <Rows label="API keys">
          {keys.data?.map((key) => (
            <KeyRow key={key.apiKeyId} apiKey={key} onRevoke={() => setRevoking(key)} />
          ))}
        </Rows>
      </Panel>
      {isNew && <NewApiKeyDialog onClose={() => setNew(false)} />}
      {revoking && <RevokeDialog apiKey={revoking} onClose={() => setRevoking(undefined)} />}
    </Section>
  );
}

function KeyRow({ apiKey, onRevoke }: { apiKey: ApiKey; onRevoke: () => void }) {
  const { name, scopes, expiresAt, lastUsedAt } = apiKey;
  const isOver = expiresAt !== null && Date.parse(expiresAt) <= Date.now();
  return (
    <Row
      icon={<IconKey size={22} stroke={1.6} aria-hidden />}
      title={name}
      tags={isOver && <Tag color="gray">Expired</Tag>}
      subtitle={
        <>
          May {scopes.join(', ')} ·{' '}
          {expiresAt === null ? (
            'never expires'
          ) : (
            <>
              {isOver ? 'expired' : 'expires'} <RelativeTime time={expiresAt} />
            </>
          )}
        </>
      }
      meta={
        lastUsedAt === null ? (
          'Never used'
        ) : (
          <>
            Used <RelativeTime time={lastUsedAt} />
          </>
        )
      }
      actions={
        <ActionIcon
          size={36}
          aria-label={`Revoke the key ${name}`}
          title="Revoke"
          onClick={onRevoke}
        >
          <IconTrash size={19} />
        </ActionIcon>
      }
    />
  );
}

function RevokeDialog({ apiKey, onClose }: { apiKey: ApiKey; onClose: () => void }) {
  const revoke = useRevokeApiKey();
  return (
    <ConfirmDialog
      title="Revoke key?"
      action="Revoke"
      onConfirm={() => revoke.mutateAsync(apiKey.apiKeyId)}
      onClose={onClose}
    >
      Programs that use <b>{apiKey.name}</b> will be refused at once. This cannot be undone.
    </ConfirmDialog>
  );
}

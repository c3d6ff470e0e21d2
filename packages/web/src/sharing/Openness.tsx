import { Alert, Avatar, Group, Select, Stack, Text } from '@mantine/core';
import { IconBuilding } from '@tabler/icons-react';
import { describe } from '../api/error';
import type { DocumentSummary, GrantRole } from '../api/types';
import { useMe } from '../auth/me';
import { CopyLink } from '../components/CopyLink';
import { GRANT_ROLES } from '../components/roles';
import { useChangeDocument } from '../documents/queries';
import classes from './ShareDialog.module.css';

const NONE = 'none';

/** What everyone in the organization may do, and the address for all who may open the document. */
export function Openness({ document }: { document: DocumentSummary }) {
  const organization = useMe().data?.organizationName ?? 'Your organization';
  const change = useChangeDocument(document.documentId);
  const pending =
    change.isPending && 'organizationRole' in change.variables ? change.variables : document;
  return (
    <Stack gap="sm" className={classes.openness}>
      <Group wrap="nowrap" gap="sm">
        <Avatar size={34} radius="xl" aria-hidden>
          <IconBuilding size={19} stroke={1.7} />
        </Avatar>
        <div className={classes.name}>
          <Text fw={600} size="sm" truncate>
            {organization}
          </Text>
          <Text size="xs" c="dimmed">
            Everyone in the organization
          </Text>
        </div>
        <Select
          aria-label="Role of everyone in the organization"
          data={[{ value: NONE, label: 'No access' }, ...GRANT_ROLES]}
          value={pending.organizationRole ?? NONE}
          onChange={(value) =>
            change.mutate({ organizationRole: value === NONE ? null : (value as GrantRole) })
          }
          allowDeselect={false}
          size="xs"
          w={128}
          flex="none"
        />
      </Group>
      {change.isError && <Alert color="red">{describe(change.error)}</Alert>}
      <Group justify="space-between">
        <Text size="sm" c="dimmed" flex={1} miw={180}>
          The address opens the document for those who have access.
        </Text>
        <CopyLink path={`/d/${document.documentId}`} label="Copy link" />
      </Group>
    </Stack>
  );
}

import { ActionIcon, Button, Paper, Stack, Text } from '@mantine/core';
import { IconArrowBackUp, IconFileOff, IconTrashX } from '@tabler/icons-react';
import type { DocumentSummary } from '../api/types';
import { RelativeTime } from '../components/RelativeTime';
import { Row, Rows } from '../components/Rows';
import { useTrashDays } from './queries';

interface TrashListProps {
  documents: DocumentSummary[];
  /** What was looked for there. */
  search: string;
  /** The document that is on its way back. */
  restoring: string | undefined;
  onRestore: (document: DocumentSummary) => void;
  onPurge: (document: DocumentSummary) => void;
}

/** What the user deleted and can still have back. */
export function TrashList({ documents, search, restoring, onRestore, onPurge }: TrashListProps) {
  const days = useTrashDays(search);
  return (
    <Stack gap="sm">
      <Paper withBorder bg="var(--motet-paper)">
        <Rows label="Documents in the trash">
          {documents.map((document) => {
            const { documentId, title, deletedAt } = document;
            return (
              <Row
                key={documentId}
                icon={<IconFileOff size={22} stroke={1.6} aria-hidden />}
                title={title}
                meta={
                  deletedAt && (
                    <>
                      Deleted <RelativeTime time={deletedAt} />
                    </>
                  )
                }
                actions={
                  <>
                    <Button
                      size="xs"
                      variant="light"
                      leftSection={<IconArrowBackUp size={16} />}
                      loading={restoring === documentId}
                      onClick={() => onRestore(document)}
                      aria-label={`Restore ${title}`}
                    >
                      Restore
                    </Button>
                    <ActionIcon
                      size={36}
                      aria-label={`Delete ${title} for good`}
                      title="Delete for good"
                      onClick={() => onPurge(document)}
                    >
                      <IconTrashX size={20} />
                    </ActionIcon>
                  </>
                }
              />
            );
          })}
        </Rows>
      </Paper>
      {days !== undefined && (
        <Text size="sm" c="dimmed">
          {stay(days)}
        </Text>
      )}
    </Stack>
  );
}

/** How long documents stay in the trash. */
function stay(days: number | null): string {
  if (days === null) return 'Documents stay in the trash until you delete them for good.';
  const time = days === 1 ? 'a day' : `${days} days`;
  return `After ${time} in the trash, documents are deleted for good.`;
}

import { Button, Group, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import type { DocumentSummary } from '../api/types';
import { notifyFailure } from '../components/notify';
import { useRestoreDocument, useTrashDocument } from './queries';

/** How long the way back stays on the screen. */
const UNDO_MS = 10_000;

/** Puts documents into the trash and takes them out again. */
export function useTrash() {
  const trash = useTrashDocument();
  const restore = useRestoreDocument();

  const takeOut = (document: DocumentSummary) =>
    restore.mutateAsync(document.documentId).then(
      () => notifications.show({ message: `“${document.title}” is back.` }),
      (error) => notifyFailure('The document could not be restored', error),
    );

  const putIn = (document: DocumentSummary) =>
    trash.mutateAsync(document.documentId).then(
      () => offerUndo(document, () => void takeOut(document)),
      (error) => notifyFailure('The document could not be deleted', error),
    );

  return { putIn, takeOut, restoring: restore.isPending ? restore.variables : undefined };
}

function offerUndo({ documentId, title }: DocumentSummary, undo: () => void): void {
  const id = `trash-${documentId}`;
  notifications.show({
    id,
    autoClose: UNDO_MS,
    message: (
      <Group justify="space-between" wrap="nowrap">
        <Text size="sm" lineClamp={2}>
          “{title}” moved to the trash
        </Text>
        <Button
          size="xs"
          variant="light"
          flex="none"
          onClick={() => {
            notifications.hide(id);
            undo();
          }}
        >
          Undo
        </Button>
      </Group>
    ),
  });
}

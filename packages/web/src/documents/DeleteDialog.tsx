import { Alert, Button, Group, Modal, Stack, Text } from '@mantine/core';
import { describe } from '../api/error';
import type { DocumentSummary } from '../api/types';
import { useUserId } from '../auth/SessionProvider';
import { useDeleteDocument, useLeaveDocument } from './queries';

interface DeleteDialogProps {
  document: DocumentSummary;
  onClose: () => void;
}

/** Asks before a document is deleted, or left by someone who does not own it. */
export function DeleteDialog({ document, onClose }: DeleteDialogProps) {
  const userId = useUserId();
  const owned = document.role === 'owner';
  const deletion = useDeleteDocument();
  const leaving = useLeaveDocument(userId);
  const action = owned ? deletion : leaving;

  return (
    <Modal opened onClose={onClose} title={owned ? 'Delete document?' : 'Leave document?'}>
      <Stack>
        <Text>
          {owned ? (
            <>
              <b>{document.title}</b> will be gone for you and for everyone that you share it with.
              This cannot be undone.
            </>
          ) : (
            <>
              You will no longer see <b>{document.title}</b> until {document.ownerName} shares it
              with you again.
            </>
          )}
        </Text>
        {action.isError && <Alert color="red">{describe(action.error)}</Alert>}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>
            Cancel
          </Button>
          <Button
            color="red.8"
            loading={action.isPending}
            onClick={() => action.mutate(document.documentId, { onSuccess: onClose })}
          >
            {owned ? 'Delete' : 'Leave'}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

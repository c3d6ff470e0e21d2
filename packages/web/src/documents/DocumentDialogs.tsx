import type { DocumentSummary } from '../api/types';
import { useUserId } from '../auth/SessionProvider';
import { ConfirmDialog } from '../forms/ConfirmDialog';
import { RenameDialog } from '../forms/RenameDialog';
import { useChangeDocument, useLeaveDocument, usePurgeDocument } from './queries';

interface DocumentDialogProps {
  document: DocumentSummary;
  onClose: () => void;
}

export function RenameDocumentDialog({ document, onClose }: DocumentDialogProps) {
  const change = useChangeDocument(document.documentId);
  return (
    <RenameDialog
      title="Rename document"
      label="Title"
      name={document.title}
      onRename={(title) => change.mutateAsync({ title })}
      onClose={onClose}
    />
  );
}

/** Asks before a document in the trash is deleted for good. */
export function PurgeDialog({ document, onClose }: DocumentDialogProps) {
  const purge = usePurgeDocument();
  return (
    <ConfirmDialog
      title="Delete for good?"
      action="Delete for good"
      onConfirm={() => purge.mutateAsync(document.documentId)}
      onClose={onClose}
    >
      <b>{document.title}</b> will be gone, with everything that was ever written in it. This cannot
      be undone.
    </ConfirmDialog>
  );
}

/** Asks before a document is left by someone who does not own it. */
export function LeaveDialog({ document, onClose }: DocumentDialogProps) {
  const leave = useLeaveDocument(useUserId());
  return (
    <ConfirmDialog
      title="Leave document?"
      action="Leave"
      onConfirm={() => leave.mutateAsync(document.documentId)}
      onClose={onClose}
    >
      You will no longer see <b>{document.title}</b> until {document.ownerName} shares it with you
      again.
    </ConfirmDialog>
  );
}

import type { DocumentSummary } from '../api/types';
import { Dialog } from '../components/Dialog';
import { AuditList } from './AuditList';
import { useActivity } from './queries';

interface ActivityDialogProps {
  document: DocumentSummary;
  onClose: () => void;
}

/** Who did what with a document: for its owner. */
export function ActivityDialog({ document, onClose }: ActivityDialogProps) {
  const entries = useActivity(document.documentId);
  return (
    <Dialog onClose={onClose} title={`Activity in “${document.title}”`} size="lg">
      <AuditList entries={entries} empty="Nothing has happened yet." />
    </Dialog>
  );
}

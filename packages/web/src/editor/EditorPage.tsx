import { useDocumentTitle } from '@mantine/hooks';
import { useLocation, useParams } from 'react-router';
import { hasCode } from '../api/error';
import { useDocumentSummary } from '../documents/queries';
import { Gone } from './Gone';
import { Workspace } from './Workspace';

export function EditorPage() {
  const { documentId = '' } = useParams();
  // A new key for each document: nothing of one editor is left over in the next.
  return <OneDocument key={documentId} documentId={documentId} />;
}

function OneDocument({ documentId }: { documentId: string }) {
  const summary = useDocumentSummary(documentId);
  const location = useLocation();
  useDocumentTitle(summary.data ? `${summary.data.title} · Motet` : 'Motet');

  if (hasCode(summary.error, 'not_found', 'invalid_request')) return <Gone why="not_found" />;
  return (
    <Workspace
      documentId={documentId}
      // The text may be here although its title cannot be had: then the user can go on writing.
      summary={summary.data}
      isNew={isNew(location.state)}
    />
  );
}

/** Whether the page before this one has just made the document. */
function isNew(state: unknown): boolean {
  return typeof state === 'object' && state !== null && 'isNew' in state && state.isNew === true;
}

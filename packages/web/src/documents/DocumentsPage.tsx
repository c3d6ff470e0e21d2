import { Box } from '@mantine/core';
import { useEffect, useState } from 'react';
import { useSearchParams } from 'react-router';
import type { DocumentSummary } from '../api/types';
import { ActivityDialog } from '../audit/ActivityDialog';
import { LoadMore } from '../components/LoadMore';
import { Page } from '../components/Page';
import { QueryFailure } from '../components/QueryFailure';
import { useSearch } from '../components/SearchField';
import { LeaveDialog, PurgeDialog, RenameDocumentDialog } from './DocumentDialogs';
import { DocumentList, DocumentListSkeleton } from './DocumentList';
import { NoDocuments, NothingFound } from './Empty';
import { Filters, filterNamed } from './Filters';
import { NewDocument } from './NewDocument';
import { useDocuments } from './queries';
import { TrashList } from './TrashList';
import { useTrash } from './useTrash';

/** A dialog that is open for a document. */
type Dialog = { kind: 'rename' | 'activity' | 'leave' | 'purge'; document: DocumentSummary };

export function DocumentsPage() {
  const [address, setAddress] = useSearchParams();
  const filter = filterNamed(address.get('filter'));
  const search = useSearch(address.get('q') ?? '');
  const { settled } = search;
  const list = useDocuments(filter, settled);
  const trash = useTrash();
  const [dialog, setDialog] = useState<Dialog>();
  const close = () => setDialog(undefined);
  const open = (kind: Dialog['kind']) => (document: DocumentSummary) =>
    setDialog({ kind, document });

  useEffect(() => {
    // In the address, so that the way back from a document leads to what was found.
    setAddress((now) => withParameter(now, 'q', settled), { replace: true });
  }, [settled, setAddress]);

  const documents = list.data ?? [];
  const isEmpty = list.isSuccess && documents.length === 0;

  return (
    <Page title="Documents" action={<NewDocument />}>
      <Filters
        filter={filter}
        onFilter={(next) =>
          setAddress((now) => withParameter(now, 'filter', next === 'all' ? '' : next))
        }
        search={search}
      />
      <QueryFailure query={list} what="Your documents" />
      {list.isPending && <DocumentListSkeleton />}
      {isEmpty && settled === '' && <NoDocuments filter={filter} />}
      {isEmpty && settled !== '' && <NothingFound search={settled} />}
      {documents.length > 0 && (
        <Box opacity={list.isPlaceholderData ? 0.6 : 1}>
          {filter === 'trash' ? (
            <TrashList
              documents={documents}
              search={settled}
              restoring={trash.restoring}
              onRestore={trash.takeOut}
              onPurge={open('purge')}
            />
          ) : (
            <DocumentList
              documents={documents}
              onRename={open('rename')}
              onActivity={open('activity')}
              onTrash={trash.putIn}
              onLeave={open('leave')}
            />
          )}
        </Box>
      )}
      <LoadMore list={list} />
      {dialog?.kind === 'rename' && (
        <RenameDocumentDialog document={dialog.document} onClose={close} />
      )}
      {dialog?.kind === 'activity' && <ActivityDialog document={dialog.document} onClose={close} />}
      {dialog?.kind === 'leave' && <LeaveDialog document={dialog.document} onClose={close} />}
      {dialog?.kind === 'purge' && <PurgeDialog document={dialog.document} onClose={close} />}
    </Page>
  );
}

/** `address` with this parameter, or without it where `value` is empty. */
function withParameter(address: URLSearchParams, name: string, value: string): URLSearchParams {
  const next = new URLSearchParams(address);
  if (value === '') next.delete(name);
  else next.set(name, value);
  return next;
}

import {
  type InfiniteData,
  keepPreviousData,
  type QueryClient,
  useMutation,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query';
import type { DocumentPage, DocumentSummary, GrantRole } from '../api/types';
import { useChange } from '../api/useChange';
import { usePaged } from '../api/usePaged';
import { useSession } from '../auth/SessionProvider';
import type { Template } from './templates';

const LISTS = ['documents'] as const;
const one = (documentId: string) => ['document', documentId] as const;

/** Which documents a list shows. */
export type Filter = 'all' | 'owned' | 'shared' | 'trash';

/** The user's documents that fit, latest change first, a page at a time. */
export function useDocuments(filter: Filter, search: string) {
  return useDocumentPages(filter, search, (page) => page.documents);
}

/** After how many days in the trash documents are deleted for good; `null`: never. The list says it. */
export function useTrashDays(search: string) {
  return useDocumentPages('trash', search, (page) => [page.trashDays]).data?.[0];
}

function useDocumentPages<Item>(
  filter: Filter,
  search: string,
  items: (page: DocumentPage) => Item[],
) {
  return usePaged({
    queryKey: [...LISTS, filter, search],
    path: 'documents',
    parameters: { filter, q: search },
    items,
    // Others change and share documents: the list is asked for anew whenever it comes into view.
    staleTime: 0,
    // What is there stays until the next letter's answer comes; another filter is another list.
    placeholderData: (previous, query) =>
      query?.queryKey[1] === filter ? keepPreviousData(previous) : undefined,
  });
}

/** One document's title, role and owner. Shows what a list knew until the answer comes. */
export function useDocumentSummary(documentId: string) {
  const session = useSession();
  const queries = useQueryClient();
  return useQuery({
    queryKey: one(documentId),
    queryFn: ({ signal }) =>
      session.request<DocumentSummary>(`documents/${documentId}?content=false`, { signal }),
    placeholderData: () =>
      queries
        .getQueriesData<InfiniteData<DocumentPage>>({ queryKey: LISTS })
        .flatMap(([, list]) => list?.pages ?? [])
        .flatMap((page) => page.documents)
        .find((document) => document.documentId === documentId),
  });
}

/** Makes a document, empty or from a template. */
export function useCreateDocument() {
  return useChange(
    (session, body: Pick<Template, 'title'> & Partial<Pick<Template, 'content'>>) =>
      session.request<{ documentId: string }>('documents', { method: 'POST', body }),
    LISTS,
  );
}

/** Changes a document's title, or what everyone in the organization may do with it. */
export function useChangeDocument(documentId: string) {
  const session = useSession();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (change: { title: string } | { organizationRole: GrantRole | null }) =>
      session.request<DocumentSummary>(`documents/${documentId}`, {
        method: 'PATCH',
        body: change,
      }),
    onSuccess: (document) => {
      queries.setQueryData(one(documentId), document);
      return queries.invalidateQueries({ queryKey: LISTS });
    },
  });
}

/** Puts a document into the trash. */
export function useTrashDocument() {
  return useRemoval((documentId) => `documents/${documentId}`);
}

/** Deletes a document for good. */
export function usePurgeDocument() {
  return useRemoval((documentId) => `documents/${documentId}?permanent=true`);
}

/** Leaves a document that someone else shared. */
export function useLeaveDocument(userId: string) {
  return useRemoval((documentId) => `documents/${documentId}/grants/${userId}`);
}

/** Takes a document out of the trash. */
export function useRestoreDocument() {
  const session = useSession();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (documentId: string) =>
      session.request<DocumentSummary>(`documents/${documentId}/restore`, { method: 'POST' }),
    onSuccess: (_, documentId) => forget(queries, documentId),
  });
}

/** A request after which the user's lists have one document less. */
function useRemoval(path: (documentId: string) => string) {
  const session = useSession();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (documentId: string) =>
      session.request<void>(path(documentId), { method: 'DELETE' }),
    onSuccess: (_, documentId) => forget(queries, documentId),
  });
}

function forget(queries: QueryClient, documentId: string) {
  queries.removeQueries({ queryKey: one(documentId) });
  return queries.invalidateQueries({ queryKey: LISTS });
}

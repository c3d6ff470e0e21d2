import {
  type InfiniteData,
  type QueryClient,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query';
import type { DocumentPage, DocumentSummary } from '../api/types';
import { useSession } from '../auth/SessionProvider';

const PAGE_DOCUMENTS = 50;

const LIST = ['documents'] as const;
const one = (documentId: string) => ['document', documentId] as const;

/** The user's documents, latest change first, a page at a time. */
export function useDocuments() {
  const session = useSession();
  return useInfiniteQuery({
    queryKey: LIST,
    queryFn: ({ pageParam, signal }) => {
      const query = new URLSearchParams({ limit: String(PAGE_DOCUMENTS) });
      if (pageParam !== null) query.set('cursor', pageParam);
      return session.request<DocumentPage>(`documents?${query}`, { signal });
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.nextCursor ?? null,
    // Others change and share documents: the list is asked for anew whenever it comes into view.
    staleTime: 0,
  });
}

/** One document's title, role and owner. Shows what the list knew until the answer comes. */
export function useDocumentSummary(documentId: string) {
  const session = useSession();
  const queries = useQueryClient();
  return useQuery({
    queryKey: one(documentId),
    queryFn: ({ signal }) =>
      session.request<DocumentSummary>(`documents/${documentId}`, { signal }).then(withoutContent),
    placeholderData: () =>
      queries
        .getQueryData<InfiniteData<DocumentPage>>(LIST)
        ?.pages.flatMap((page) => page.documents)
        .find((document) => document.documentId === documentId),
  });
}

export function useCreateDocument() {
  const session = useSession();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (title: string) =>
      session.request<{ documentId: string }>('documents', { method: 'POST', body: { title } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: LIST }),
  });
}

export function useRenameDocument(documentId: string) {
  const session = useSession();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (title: string) =>
      session
        .request<DocumentSummary>(`documents/${documentId}`, { method: 'PATCH', body: { title } })
        .then(withoutContent),
    onSuccess: (document) => {
      queries.setQueryData(one(documentId), document);
      return queries.invalidateQueries({ queryKey: LIST });
    },
  });
}

export function useDeleteDocument() {
  const session = useSession();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (documentId: string) =>
      session.request<void>(`documents/${documentId}`, { method: 'DELETE' }),
    onSuccess: (_, documentId) => forget(queries, documentId),
  });
}

/** Leaves a document that someone else shared. */
export function useLeaveDocument(userId: string) {
  const session = useSession();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (documentId: string) =>
      session.request<void>(`documents/${documentId}/grants/${userId}`, { method: 'DELETE' }),
    onSuccess: (_, documentId) => forget(queries, documentId),
  });
}

function forget(queries: QueryClient, documentId: string) {
  queries.removeQueries({ queryKey: one(documentId) });
  return queries.invalidateQueries({ queryKey: LIST });
}

/** The editor gets its content from the socket; a second copy would only take up memory. */
function withoutContent(document: DocumentSummary & { content?: unknown }): DocumentSummary {
  const { content: _, ...summary } = document;
  return summary;
}

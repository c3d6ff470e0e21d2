import { keepPreviousData } from '@tanstack/react-query';
import type { AuditPage } from '../api/types';
import { usePaged } from '../api/usePaged';

/** What the audit trail is searched for. */
export interface AuditFilter {
  action?: string | undefined;
  userId?: string | undefined;
  documentId?: string | undefined;
}

/** The organization's audit trail, latest first. For administrators. */
export function useAudit(filter: AuditFilter) {
  return useEntries('audit', filter);
}

/** What happened to a document, latest first. For its owner. */
export function useActivity(documentId: string) {
  return useEntries(`documents/${documentId}/audit`, {});
}

function useEntries(path: string, filter: AuditFilter) {
  return usePaged({
    queryKey: ['audit', path, filter],
    path,
    parameters: { ...filter },
    items: (page: AuditPage) => page.entries,
    staleTime: 0,
    placeholderData: keepPreviousData,
  });
}

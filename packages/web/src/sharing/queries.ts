import { useQuery } from '@tanstack/react-query';
import type { GrantRole, Grants, PersonGroup, ShareLink } from '../api/types';
import { useChange } from '../api/useChange';
import { useSession } from '../auth/SessionProvider';

const grantsOf = (documentId: string) => ['grants', documentId] as const;
const linksOf = (documentId: string) => ['links', documentId] as const;

/** Who may read the document: people, its owner first, and groups. For the owner only. */
export function useGrants(documentId: string) {
  const session = useSession();
  return useQuery({
    queryKey: grantsOf(documentId),
    queryFn: ({ signal }) => session.request<Grants>(`documents/${documentId}/grants`, { signal }),
    // People come by links at any time: the list is asked for anew whenever it comes into view.
    staleTime: 0,
  });
}

/** Whom a grant is for. */
export type Grantee = { email: string } | { userId: string } | { groupId: string };

/** Lets a person or group in, or changes what they may do. */
export function useAddGrant(documentId: string) {
  return useChange(
    (session, grant: Grantee & { role: GrantRole }) =>
      session.request<unknown>(`documents/${documentId}/grants`, { method: 'POST', body: grant }),
    grantsOf(documentId),
  );
}

/** Takes a person's or group's access away; open editors close. */
export function useRemoveGrant(documentId: string) {
  return useChange(
    (session, granteeId: string) =>
      session.request<void>(`documents/${documentId}/grants/${granteeId}`, { method: 'DELETE' }),
    grantsOf(documentId),
  );
}

/** The groups of the user's organization. */
export function useGroups() {
  const session = useSession();
  return useQuery({
    queryKey: ['groups'],
    queryFn: ({ signal }) =>
      session.request<{ groups: PersonGroup[] }>('groups', { signal }).then(({ groups }) => groups),
  });
}

/** The links by which anybody who has them may open the document. For the owner only. */
export function useLinks(documentId: string) {
  const session = useSession();
  return useQuery({
    queryKey: linksOf(documentId),
    queryFn: ({ signal }) =>
      session
        .request<{ links: ShareLink[] }>(`documents/${documentId}/links`, { signal })
        .then(({ links }) => links),
  });
}

/** What a new link lets people do, and under which conditions. */
export interface NewLink {
  role: GrantRole;
  expiresAt?: string;
  password?: string;
}

export function useCreateLink(documentId: string) {
  return useChange(
    (session, body: NewLink) =>
      session.request<ShareLink>(`documents/${documentId}/links`, { method: 'POST', body }),
    linksOf(documentId),
  );
}

/** Makes a link void; whoever came by it loses what it gave. */
export function useRevokeLink(documentId: string) {
  return useChange(
    (session, linkId: string) =>
      session.request<void>(`documents/${documentId}/links/${linkId}`, { method: 'DELETE' }),
    linksOf(documentId),
    grantsOf(documentId),
  );
}

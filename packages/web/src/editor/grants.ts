import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { Grant, GrantRole } from '../api/types';
import { useSession } from '../auth/SessionProvider';

const grantsOf = (documentId: string) => ['grants', documentId] as const;

/** Who may read the document, its owner first. For the owner only. */
export function useGrants(documentId: string) {
  const session = useSession();
  return useQuery({
    queryKey: grantsOf(documentId),
    queryFn: ({ signal }) =>
      session
        .request<{ grants: Grant[] }>(`documents/${documentId}/grants`, { signal })
        .then(({ grants }) => grants),
  });
}

/** Lets someone in, or changes what they may do. */
export function useAddGrant(documentId: string) {
  const session = useSession();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (grant: { email: string; role: GrantRole }) =>
      session.request<Grant>(`documents/${documentId}/grants`, { method: 'POST', body: grant }),
    onSuccess: () => queries.invalidateQueries({ queryKey: grantsOf(documentId) }),
  });
}

/** Takes someone's access away; their open editors close. */
export function useRemoveGrant(documentId: string) {
  const session = useSession();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (userId: string) =>
      session.request<void>(`documents/${documentId}/grants/${userId}`, { method: 'DELETE' }),
    onSuccess: () => queries.invalidateQueries({ queryKey: grantsOf(documentId) }),
  });
}

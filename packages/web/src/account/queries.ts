import { type QueryClient, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { ApiKey, Me, Profile, Scope } from '../api/types';
import { useChange } from '../api/useChange';
import { meOf } from '../auth/me';
import { useSession, useUserId } from '../auth/SessionProvider';
import { personOf } from '../components/Person';

/** Changes the user's own name or colour. */
export function useChangeProfile() {
  const session = useSession();
  const userId = useUserId();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (change: { name: string } | { color: number | null }) =>
      session.request<Profile>(`users/${userId}`, { method: 'PATCH', body: change }),
    onSuccess: (profile) => keep(queries, profile),
  });
}

/** Gives the user another picture, or none. */
export function useChangeAvatar() {
  const session = useSession();
  const userId = useUserId();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (picture: Blob | null) => {
      const path = `users/${userId}/avatar`;
      if (picture) return session.request<Profile>(path, { method: 'PUT', body: picture });
      await session.request<void>(path, { method: 'DELETE' });
      return { avatarUrl: null };
    },
    onSuccess: (profile) => keep(queries, { userId, ...profile }),
  });
}

/** Shows what the user is now wherever they are shown. */
function keep(queries: QueryClient, profile: Partial<Profile> & { userId: string }) {
  queries.setQueryData<Me>(meOf(profile.userId), (me) => me && { ...me, ...profile });
  return queries.invalidateQueries({ queryKey: personOf(profile.userId) });
}

const API_KEYS = ['api-keys'] as const;

/** The keys by which programs act for the user. */
export function useApiKeys() {
  const session = useSession();
  return useQuery({
    queryKey: API_KEYS,
    queryFn: ({ signal }) =>
      session.request<{ apiKeys: ApiKey[] }>('api-keys', { signal }).then(({ apiKeys }) => apiKeys),
  });
}

/** Makes a key. Its text, `key`, is told this once. */
export function useCreateApiKey() {
  return useChange(
    (session, body: { name: string; scopes: Scope[]; expiresAt?: string }) =>
      session.request<ApiKey & { key: string }>('api-keys', { method: 'POST', body }),
    API_KEYS,
  );
}

export function useRevokeApiKey() {
  return useChange(
    (session, apiKeyId: string) =>
      session.request<void>(`api-keys/${apiKeyId}`, { method: 'DELETE' }),
    API_KEYS,
  );
}

/** Downloads everything that the server knows of the user. */
export function useExport() {
  const session = useSession();
  const userId = useUserId();
  return useMutation({
    mutationFn: async () => {
      const everything = await session.request<unknown>(`users/${userId}/export`);
      const text = JSON.stringify(everything, null, 2);
      save(new Blob([text], { type: 'application/json' }), 'motet-export.json');
    },
  });
}

function save(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The download has its own hold on the file by the next task.
  setTimeout(() => URL.revokeObjectURL(link.href));
}

/** Erases the user's account; the session is over then. */
export function useEraseAccount() {
  const session = useSession();
  const userId = useUserId();
  return useMutation({
    mutationFn: (body: { password?: string; transferTo?: string }) =>
      session.request<void>(`users/${userId}/erase`, { method: 'POST', body }),
    onSuccess: () => session.forget(),
  });
}

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import type { AdminUser, AdminUserPage, Limit, LiveSession, Member } from '../api/types';
import { useChange } from '../api/useChange';
import { usePaged } from '../api/usePaged';
import { meOf } from '../auth/me';
import { useSession, useUserId } from '../auth/SessionProvider';

/** Sessions come and go: how often an open list of them is asked for anew. */
const SESSIONS_EVERY_MS = 10_000;

const USERS = ['admin', 'users'] as const;
const SESSIONS = ['admin', 'sessions'] as const;
const GROUPS = ['groups'] as const;
const membersOf = (groupId: string) => [...GROUPS, groupId, 'members'] as const;

/** The accounts of the organization that fit, a page at a time. */
export function useUsers(search: string) {
  return usePaged({
    queryKey: [...USERS, search],
    path: 'admin/users',
    parameters: { q: search },
    items: (page: AdminUserPage) => page.users,
    placeholderData: keepPreviousData,
  });
}

export function useCreateUser() {
  return useChange(
    (session, body: { email: string; name: string; password: string }) =>
      session.request<AdminUser>('admin/users', { method: 'POST', body }),
    USERS,
  );
}

/** Lets somebody in or keeps them out, or makes them an administrator or not. */
export function useChangeUser(userId: string) {
  return useChange(
    (session, body: { disabled: boolean } | { administrator: boolean }) =>
      session.request<AdminUser>(`admin/users/${userId}`, { method: 'PATCH', body }),
    USERS,
  );
}

/** Who has which document open now. */
export function useLiveSessions() {
  const session = useSession();
  return useQuery({
    queryKey: SESSIONS,
    queryFn: ({ signal }) =>
      session
        .request<{ sessions: LiveSession[] }>('admin/sessions', { signal })
        .then(({ sessions }) => sessions),
    refetchInterval: SESSIONS_EVERY_MS,
  });
}

export function useEndSession() {
  return useChange(
    (session, sessionId: string) =>
      session.request<void>(`admin/sessions/${sessionId}`, { method: 'DELETE' }),
    SESSIONS,
  );
}

/** What the server allows. */
export function useLimits() {
  const session = useSession();
  return useQuery({
    queryKey: ['admin', 'limits'],
    queryFn: ({ signal }) =>
      session.request<{ limits: Limit[] }>('admin/limits', { signal }).then(({ limits }) => limits),
  });
}

/** The people in a group. */
export function useMembers(groupId: string) {
  const session = useSession();
  return useQuery({
    queryKey: membersOf(groupId),
    queryFn: ({ signal }) =>
      session
        .request<{ members: Member[] }>(`groups/${groupId}/members`, { signal })
        .then(({ members }) => members),
  });
}

/** A change to groups: to make one, rename or delete it, put somebody in or take them out. */
export type GroupChange =
  | { kind: 'create'; name: string }
  | { kind: 'rename'; groupId: string; name: string }
  | { kind: 'delete'; groupId: string }
  | { kind: 'add' | 'remove'; groupId: string; userId: string };

export function useChangeGroups() {
  return useChange((session, change: GroupChange): Promise<unknown> => {
    if (change.kind === 'create') {
      return session.request('groups', { method: 'POST', body: { name: change.name } });
    }
    const group = `groups/${change.groupId}`;
    switch (change.kind) {
      case 'rename':
        return session.request(group, { method: 'PATCH', body: { name: change.name } });
      case 'delete':
        return session.request(group, { method: 'DELETE' });
      case 'add':
        return session.request(`${group}/members/${change.userId}`, { method: 'PUT' });
      case 'remove':
        return session.request(`${group}/members/${change.userId}`, { method: 'DELETE' });
    }
  }, GROUPS);
}

export function useRenameOrganization() {
  const userId = useUserId();
  return useChange(
    (session, name: string) =>
      session.request<unknown>('organization', { method: 'PATCH', body: { name } }),
    meOf(userId),
  );
}

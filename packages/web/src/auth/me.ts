import { useQuery } from '@tanstack/react-query';
import type { Me } from '../api/types';
import { useSession, useUserId } from './SessionProvider';

export const meOf = (userId: string) => ['me', userId] as const;

/** The signed-in user: their name and picture, and what they are. */
export function useMe() {
  const session = useSession();
  const userId = useUserId();
  return useQuery({
    queryKey: meOf(userId),
    queryFn: ({ signal }) => session.request<Me>('auth/validate', { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** Whether the user came by a share link and has no account; false until it is known. */
export function useIsGuest(): boolean {
  return useMe().data?.kind === 'guest';
}

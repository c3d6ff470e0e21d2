import { useQuery } from '@tanstack/react-query';
import type { Profile } from '../api/types';
import { useSession, useUserId } from './SessionProvider';

/** The signed-in user's name and e-mail. */
export function useProfile() {
  const session = useSession();
  const userId = useUserId();
  return useQuery({
    queryKey: ['profile', userId],
    queryFn: ({ signal }) => session.request<Profile>('auth/validate', { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

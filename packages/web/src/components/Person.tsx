import { useQuery } from '@tanstack/react-query';
import type { Profile } from '../api/types';
import { useSession } from '../auth/SessionProvider';
import { PersonAvatar } from './PersonAvatar';

/** Pictures change seldom, and a list shows the same people again and again. */
const FRESH_MS = 5 * 60_000;

export const personOf = (userId: string) => ['person', userId] as const;

/** How somebody presents themselves. Guests and the erased may have nothing to show. */
function usePerson(userId: string) {
  const session = useSession();
  return useQuery({
    queryKey: personOf(userId),
    queryFn: ({ signal }) => session.request<Profile>(`users/${userId}`, { signal }),
    staleTime: FRESH_MS,
    retry: false,
  });
}

interface PersonProps {
  userId: string;
  name: string;
  /** The colour of their cursor, where they have one; their own choice otherwise. */
  color?: number;
  size?: number;
}

/** Somebody of whom only the id and name are known here: their picture is looked up. */
export function Person({ userId, name, color, size }: PersonProps) {
  const { data: profile } = usePerson(userId);
  return (
    <PersonAvatar
      name={name}
      avatarUrl={profile?.avatarUrl}
      color={color ?? profile?.color}
      {...(size === undefined ? {} : { size })}
    />
  );
}

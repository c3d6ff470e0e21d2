import { type QueryKey, useMutation, useQueryClient } from '@tanstack/react-query';
import { useSession } from '../auth/SessionProvider';
import type { Session } from '../auth/session';

/**
 * A request that changes something at the server. What was fetched under the keys `stale` is asked for
 * anew before it counts as done, so that whoever waits for it sees the change.
 */
export function useChange<Input, Answer>(
  send: (session: Session, input: Input) => Promise<Answer>,
  ...stale: readonly QueryKey[]
) {
  const session = useSession();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (input: Input) => send(session, input),
    onSuccess: () => Promise.all(stale.map((queryKey) => queries.invalidateQueries({ queryKey }))),
  });
}

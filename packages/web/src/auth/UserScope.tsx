import '@mantine/notifications/styles.css';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { useEffect, useMemo } from 'react';
import { Outlet } from 'react-router';
import { ApiError } from '../api/error';
import { forgetUser } from '../editor/offline';
import { useSession } from './SessionProvider';

const RETRIES_MAX = 2;

/** What belongs to one user and is gone with them: what was fetched, and what is kept for offline. */
export function UserScope({ userId }: { userId: string }) {
  const session = useSession();
  const queries = useMemo(
    () =>
      new QueryClient({
        defaultOptions: { queries: { staleTime: 10_000, retry: mayRetry } },
      }),
    [],
  );

  useEffect(
    () =>
      session.subscribe(() => {
        // A session that merely ended comes back, and its unsent edits with it.
        const { state } = session;
        if (state.userId === null && state.absence === 'signed_out') void forgetUser(userId);
      }),
    [session, userId],
  );

  return (
    <QueryClientProvider client={queries}>
      <Notifications position="bottom-center" limit={4} />
      <Outlet />
    </QueryClientProvider>
  );
}

/** Asks again only where that can help. */
function mayRetry(failures: number, error: Error): boolean {
  if (failures >= RETRIES_MAX) return false;
  return !(error instanceof ApiError) || error.status === 0 || error.status >= 500;
}

import { createContext, type ReactNode, use, useSyncExternalStore } from 'react';
import type { Session, SessionState } from './session';

const SessionContext = createContext<Session | null>(null);

export function SessionProvider({ session, children }: { session: Session; children: ReactNode }) {
  return <SessionContext value={session}>{children}</SessionContext>;
}

/** The page's [Session]. */
export function useSession(): Session {
  const session = use(SessionContext);
  if (!session) throw new Error('useSession needs a SessionProvider above it');
  return session;
}

/** Who is signed in; the component renders again when that changes. */
export function useSessionState(): SessionState {
  const session = useSession();
  return useSyncExternalStore(
    (changed) => session.subscribe(changed),
    () => session.state,
  );
}

/** The user's id. Only below a [RequireSession]. */
export function useUserId(): string {
  const { userId } = useSessionState();
  if (userId === null) throw new Error('useUserId needs a RequireSession above it');
  return userId;
}

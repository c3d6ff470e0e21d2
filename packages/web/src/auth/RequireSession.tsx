import { lazy } from 'react';
import { Navigate, useLocation } from 'react-router';
import { signInPath } from './returnPath';
import { useSessionState } from './SessionProvider';

const UserScope = lazy(() =>
  import('./UserScope').then((module) => ({ default: module.UserScope })),
);

/** The pages below it are shown to a signed-in user; anyone else goes to the sign-in page first. */
export function RequireSession() {
  const state = useSessionState();
  const location = useLocation();
  if (state.userId === null) {
    // Whoever signed out on purpose starts afresh: the next user has no business on this page.
    const path = state.absence === 'signed_out' ? '/' : location.pathname + location.search;
    return <Navigate to={signInPath(path)} replace />;
  }
  return <UserScope key={state.userId} userId={state.userId} />;
}

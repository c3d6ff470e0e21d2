/** Where to go after signing in, when it began at `path`. */
export function signInPath(path: string): string {
  return path === '/' ? '/sign-in' : `/sign-in?next=${encodeURIComponent(path)}`;
}

/** The path in `?next=`, or the start page where it is missing or leads away from this application. */
export function returnPath(search: URLSearchParams): string {
  const next = search.get('next');
  if (next === null) return '/';
  // Browsers read `//host` and `/\host` as another site's address.
  return /^\/(?![/\\])/.test(next) ? next : '/';
}

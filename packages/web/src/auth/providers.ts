import { useMutation, useQuery } from '@tanstack/react-query';
import { send } from '../api/http';
import type { Providers } from '../api/types';

/** Where people can sign in, and whether they may register. */
export function useProviders() {
  return useQuery({
    queryKey: ['providers'],
    queryFn: ({ signal }) => send<Providers>('auth/providers', { signal }).then(({ body }) => body),
  });
}

/** Goes to a provider's page; it sends the browser back to `/sign-in/callback`. */
export function useBeginProvider(returnTo: string) {
  return useMutation({
    mutationFn: async (providerId: string) => {
      const path = `auth/providers/${encodeURIComponent(providerId)}/begin`;
      const { body } = await send<{ url: string; state: string }>(path, {
        method: 'POST',
        body: {},
      });
      keepJourney({ providerId, state: body.state, returnTo });
      window.location.assign(providerUrl(body.url));
    },
  });
}

/** A sign-in that is under way at a provider. */
export interface Journey {
  providerId: string;
  /** What the provider must send back: proof that this tab began. */
  state: string;
  returnTo: string;
}

// Of this tab only: a page elsewhere that makes the browser open the callback has begun nothing here.
const JOURNEY = 'motet.sign-in';

function keepJourney(journey: Journey): void {
  sessionStorage.setItem(JOURNEY, JSON.stringify(journey));
}

/** The journey that `state` belongs to. It counts once. */
export function takeJourney(state: string | null): Journey | undefined {
  const kept = sessionStorage.getItem(JOURNEY);
  sessionStorage.removeItem(JOURNEY);
  if (kept === null || state === null) return undefined;
  const journey = JSON.parse(kept) as Journey;
  return journey.state === state ? journey : undefined;
}

/** Nothing but a page on the web: an address is followed with this page's rights. */
function providerUrl(address: string): string {
  const url = new URL(address);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new Error(`a provider's page cannot be at ${url.protocol}`);
  }
  return url.href;
}

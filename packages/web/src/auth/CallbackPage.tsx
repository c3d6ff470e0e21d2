import { Alert, Button, Center, Loader } from '@mantine/core';
import { IconAlertCircle } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { Link, Navigate, useSearchParams } from 'react-router';
import { ApiError, asSentence, describe } from '../api/error';
import { AuthLayout } from './AuthLayout';
import { takeJourney } from './providers';
import { useSession } from './SessionProvider';
import type { Session } from './session';

/** Where a provider sends the browser back to. */
export function CallbackPage() {
  const session = useSession();
  const [search] = useSearchParams();
  const [outcome, setOutcome] = useState<Outcome>();

  useEffect(() => {
    void finish(session, search).then(setOutcome);
  }, [session, search]);

  if (!outcome) {
    return (
      <Center mih="100dvh">
        <Loader type="dots" aria-label="Signing in" />
      </Center>
    );
  }
  if ('returnTo' in outcome) return <Navigate to={outcome.returnTo} replace />;
  return (
    <AuthLayout title="You are not signed in" lead="The sign-in elsewhere did not succeed.">
      <Alert icon={<IconAlertCircle />} color="red" mb="md">
        {outcome.failure}
      </Alert>
      <Button component={Link} to="/sign-in" size="md" fullWidth>
        Try again
      </Button>
    </AuthLayout>
  );
}

type Outcome = { returnTo: string } | { failure: string };

/** One sign-in for each address: what counts once would be taken twice where effects run twice. */
const finished = new Map<string, Promise<Outcome>>();

function finish(session: Session, search: URLSearchParams): Promise<Outcome> {
  const address = search.toString();
  const outcome = finished.get(address) ?? conclude(session, search);
  finished.set(address, outcome);
  return outcome;
}

async function conclude(session: Session, search: URLSearchParams): Promise<Outcome> {
  const journey = takeJourney(search.get('state'));
  if (!journey) {
    return { failure: 'It did not begin in this tab, or was finished before. Begin anew.' };
  }
  const code = search.get('code');
  // The provider's own words are not shown: anybody can write them into an address.
  if (code === null) return { failure: 'The sign-in was refused or cancelled there.' };
  try {
    await session.finishProvider(journey.providerId, code, journey.state);
    return { returnTo: journey.returnTo };
  } catch (error) {
    return { failure: explain(error) };
  }
}

function explain(error: unknown): string {
  // These say what is missing, such as an e-mail that the provider has confirmed.
  if (error instanceof ApiError && error.status === 403) return asSentence(error.message);
  return describe(error);
}

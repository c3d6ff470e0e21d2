import { Skeleton } from '@mantine/core';
import { useMe } from '../auth/me';
import { Page } from '../components/Page';
import { QueryFailure } from '../components/QueryFailure';
import { AboutYou } from './AboutYou';
import { ApiKeys } from './ApiKeys';
import { Password } from './Password';
import { YourData } from './YourData';

/** Everything about the user's own account. */
export function ProfilePage() {
  const query = useMe();
  const { data: me } = query;
  return (
    <Page title="Your profile" narrow>
      <QueryFailure query={query} what="Your profile" />
      {query.isPending && <Skeleton h={320} aria-label="Loading your profile" />}
      {me && (
        <>
          <AboutYou me={me} />
          {me.hasPassword && <Password />}
          <ApiKeys />
          <YourData me={me} />
        </>
      )}
    </Page>
  );
}

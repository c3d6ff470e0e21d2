import { Button } from '@mantine/core';
import { IconUserQuestion } from '@tabler/icons-react';
import { Outlet } from 'react-router';
import { FullPageNotice } from '../components/FullPageNotice';
import { Header } from '../components/Header';
import { useIsGuest } from './me';
import { useSession } from './SessionProvider';

/** The pages below it are for people with an account; guests have the documents of their links only. */
export function MembersOnly() {
  return useIsGuest() ? <GuestNotice /> : <Outlet />;
}

function GuestNotice() {
  const session = useSession();
  return (
    <>
      <Header />
      <FullPageNotice
        icon={<IconUserQuestion size={32} />}
        title="You are here as a guest"
        actions={
          <Button onClick={() => void session.signOut()}>Sign in or create an account</Button>
        }
      >
        Open the link that you were given to get back to its document. With an account you can make
        documents of your own.
      </FullPageNotice>
    </>
  );
}

import { Button, Center, Group, Loader } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import { IconBuildingOff, IconLinkOff, IconUserOff } from '@tabler/icons-react';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import { Navigate, useParams } from 'react-router';
import { hasCode } from '../api/error';
import { send } from '../api/http';
import type { LinkPreview } from '../api/types';
import { useSession, useSessionState } from '../auth/SessionProvider';
import { Failure } from '../components/Failure';
import { FullPageNotice } from '../components/FullPageNotice';
import { EnterByLink } from './EnterByLink';

/** Where a share link leads: to its document, as soon as nothing more has to be asked. */
export function LinkPage() {
  useDocumentTitle('Shared document · Motet');
  const { token = '' } = useParams();
  const session = useSession();
  const { userId } = useSessionState();
  const preview = useQuery({
    queryKey: ['link', token],
    queryFn: ({ signal }) =>
      send<LinkPreview>(`links/${encodeURIComponent(token)}`, { signal }).then(({ body }) => body),
  });
  const open = useMutation({
    mutationFn: (body: { password?: string; name?: string }) => session.openLink(token, body),
  });

  const asksNothing = userId !== null && preview.data?.passwordRequired === false;
  const { mutate, isIdle } = open;
  useEffect(() => {
    if (asksNothing && isIdle) mutate({});
  }, [asksNothing, isIdle, mutate]);

  if (open.isSuccess) return <Navigate to={`/d/${open.data.documentId}`} replace />;
  if (hasCode(preview.error, 'not_found') || hasCode(open.error, 'not_found')) {
    return (
      <FullPageNotice icon={<IconLinkOff size={32} />} title="This link leads nowhere">
        It has expired or was revoked, or a part of it is missing. Ask whoever gave it to you.
      </FullPageNotice>
    );
  }
  if (hasCode(open.error, 'other_organization')) {
    return <OtherOrganization onLeave={() => void session.signOut().then(() => open.reset())} />;
  }
  if (hasCode(open.error, 'link_denied')) {
    return (
      <FullPageNotice icon={<IconUserOff size={32} />} title="You were taken out">
        The document’s owner has removed you from it. Only they can let you in again.
      </FullPageNotice>
    );
  }
  const failed = preview.error ?? (asksNothing ? open.error : null);
  if (failed) {
    return (
      <Center mih="60dvh" p="lg">
        <Failure
          title="The document could not be opened"
          error={failed}
          retry={() => (preview.isError ? void preview.refetch() : open.reset())}
          retrying={preview.isFetching}
        />
      </Center>
    );
  }
  if (!preview.data || asksNothing) {
    return (
      <Center mih="100dvh">
        <Loader type="dots" aria-label="Opening the document" />
      </Center>
    );
  }
  return <EnterByLink token={token} preview={preview.data} open={open.mutateAsync} />;
}

function OtherOrganization({ onLeave }: { onLeave: () => void }) {
  return (
    <FullPageNotice
      icon={<IconBuildingOff size={32} />}
      title="This document belongs to others"
      actions={
        <Group justify="center">
          <Button onClick={onLeave}>Sign out and go on as a guest</Button>
        </Group>
      }
    >
      Your account is of another organization, which cannot open what this link shares.
    </FullPageNotice>
  );
}

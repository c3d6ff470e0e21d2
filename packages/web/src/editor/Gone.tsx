import { Button, CopyButton, Group } from '@mantine/core';
import { IconFileOff, IconLock, IconMapQuestion } from '@tabler/icons-react';
import { Link } from 'react-router';
import { useIsGuest } from '../auth/me';
import { FullPageNotice } from '../components/FullPageNotice';

/** Why a document cannot be shown, and will not be by waiting. */
export type WhyGone = 'not_found' | 'deleted' | 'withdrawn';

const NOTICES = {
  not_found: {
    Icon: IconMapQuestion,
    title: 'This document is not here',
    text: 'It does not exist, or it has not been shared with you. Ask its owner to add you.',
  },
  deleted: {
    Icon: IconFileOff,
    title: 'This document has been deleted',
    text: 'Its owner deleted it, so it can no longer be read or edited.',
  },
  withdrawn: {
    Icon: IconLock,
    title: 'You no longer have access',
    text: 'The owner of this document has stopped sharing it with you, or your session was ended.',
  },
} as const;

interface GoneProps {
  why: WhyGone;
  /** The text as it was here, where edits of it never reached the server. */
  unsentText?: string;
}

export function Gone({ why, unsentText = '' }: GoneProps) {
  const { Icon, title, text } = NOTICES[why];
  const isGuest = useIsGuest();
  return (
    <FullPageNotice
      icon={<Icon size={32} />}
      title={title}
      actions={
        <Group justify="center">
          {unsentText !== '' && (
            <CopyButton value={unsentText}>
              {({ copied, copy }) => (
                <Button variant="default" onClick={copy}>
                  {copied ? 'Copied' : 'Copy the text as you had it'}
                </Button>
              )}
            </CopyButton>
          )}
          {!isGuest && (
            <Button component={Link} to="/">
              Go to your documents
            </Button>
          )}
        </Group>
      }
    >
      {text}
    </FullPageNotice>
  );
}

import { Button, Stack, Text } from '@mantine/core';
import { IconPlugConnectedX } from '@tabler/icons-react';
import { useState } from 'react';
import type { LiveSession } from '../api/types';
import { Panel } from '../components/Panel';
import { Person } from '../components/Person';
import { RelativeTime } from '../components/RelativeTime';
import { RoleBadge } from '../components/RoleBadge';
import { Row, Rows } from '../components/Rows';
import { ConfirmDialog } from '../forms/ConfirmDialog';
import { useEndSession, useLiveSessions } from './queries';

/** How a session speaks to the server, as people know it. */
const DIALECTS: Readonly<Record<string, string>> = {
  ot: 'Motet’s own client',
  yjs: 'Yjs',
  hocuspocus: 'Hocuspocus',
};

/** Who has which document open now. */
export function Sessions() {
  const sessions = useLiveSessions();
  const [ending, setEnding] = useState<LiveSession>();
  return (
    <Stack>
      <Text size="sm" c="dimmed">
        Who has which document open now. You see titles here, but not what is in the documents.
      </Text>
      <Panel query={sessions} what="The sessions" empty="Nobody has a document open.">
        <Rows label="Sessions">
          {sessions.data?.map((session) => (
            <Row
              key={session.sessionId}
              icon={<Person userId={session.userId} name={session.name} size={34} />}
              title={session.name}
              tags={<RoleBadge role={session.role} />}
              subtitle={
                <>
                  in <b>{titleOf(session)}</b> · {DIALECTS[session.dialect] ?? session.dialect} ·{' '}
                  {session.address}
                </>
              }
              meta={
                <>
                  Since <RelativeTime time={session.since} />
                </>
              }
              actions={
                <Button
                  size="xs"
                  variant="subtle"
                  color="red"
                  leftSection={<IconPlugConnectedX size={16} />}
                  aria-label={`End the session of ${session.name} in ${titleOf(session)}`}
                  onClick={() => setEnding(session)}
                >
                  End
                </Button>
              }
            />
          ))}
        </Rows>
      </Panel>
      {ending && <EndDialog session={ending} onClose={() => setEnding(undefined)} />}
    </Stack>
  );
}

const titleOf = ({ documentTitle }: LiveSession) => documentTitle ?? 'a document';

function EndDialog({ session, onClose }: { session: LiveSession; onClose: () => void }) {
  const end = useEndSession();
  return (
    <ConfirmDialog
      title="End session?"
      action="End session"
      onConfirm={() => end.mutateAsync(session.sessionId)}
      onClose={onClose}
    >
      <b>{session.name}</b> is put out of <b>{titleOf(session)}</b> now. Whoever may open it can
      come back; to keep somebody out, disable their account.
    </ConfirmDialog>
  );
}

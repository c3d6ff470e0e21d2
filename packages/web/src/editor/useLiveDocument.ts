import { useNetwork } from '@mantine/hooks';
import { delta, MotetDocument } from '@motet/client';
import { useEffect, useMemo, useState } from 'react';
import type { Role } from '../api/types';
import { useSession, useUserId } from '../auth/SessionProvider';
import type { WhyGone } from './Gone';
import { keepOpen, offlineOptions } from './offline';
import type { Person } from './people';
import { explainRejection, showRejection } from './rejection';
import { type SaveState, saveState } from './saveState';
import { useLongLoss } from './useLongLoss';

/** A document that is open here, as the page shows it. */
export interface LiveDocument {
  /** Null for the moment until it is made. */
  document: MotetDocument | null;
  /** Whether there is a text to show. */
  loaded: boolean;
  /** Undefined until the server has said it. */
  role: Role | undefined;
  /** The others. */
  people: Person[];
  saveState: SaveState;
  /** Why the document can no longer be shown. */
  gone: WhyGone | undefined;
}

/** What is looked at of a document, taken whenever it says that something changed. */
type Snapshot = Pick<MotetDocument, 'loaded' | 'role' | 'status'> & { people: Person[] };

const NOTHING: Snapshot = {
  loaded: false,
  role: undefined,
  status: { connection: 'connecting', waiting: 0, saved: true },
  people: [],
};

/** Opens a document, and closes it when the component goes. */
export function useLiveDocument(documentId: string): LiveDocument {
  const session = useSession();
  const userId = useUserId();
  const [document, setDocument] = useState<MotetDocument | null>(null);
  const [now, setNow] = useState(NOTHING);
  const { online: networkUp } = useNetwork();

  useEffect(() => {
    let given: string | undefined;
    const opened = new MotetDocument({
      url: window.location.origin,
      documentId,
      userId,
      ...offlineOptions,
      token: async (refused) => {
        given = await session.token(refused ? given : undefined);
        return given;
      },
    });
    const look = () => setNow(snapshot(opened));
    opened.on('load', look);
    opened.on('status', look);
    opened.on('role', look);
    opened.on('presence', look);
    opened.on('rejected', ({ delta: edit, code, message }) =>
      showRejection(explainRejection(code, message), delta.text(edit)),
    );
    const close = keepOpen(opened);
    opened.connect();
    setDocument(opened);
    look();
    return close;
  }, [session, userId, documentId]);

  const { loaded, role, status, people } = now;
  const isLost = status.connection !== 'online';
  const lostForLong = useLongLoss(isLost);
  const state = useMemo(
    () =>
      saveState({
        loaded,
        role,
        waiting: status.waiting,
        connection: isLost ? (networkUp && !lostForLong ? 'reconnecting' : 'offline') : 'online',
        problem: problem(status.reason),
      }),
    [loaded, role, status, isLost, networkUp, lostForLong],
  );
  return { document, loaded, role, people, saveState: state, gone: whyGone(status.reason, loaded) };
}

function snapshot(document: MotetDocument): Snapshot {
  const people = [...document.presence.values()];
  return { loaded: document.loaded, role: document.role, status: document.status, people };
}

type Reason = MotetDocument['status']['reason'];

function whyGone(reason: Reason, loaded: boolean): WhyGone | undefined {
  if (reason === 'forbidden') return 'withdrawn';
  if (reason === 'not_found') return loaded ? 'deleted' : 'not_found';
  return undefined;
}

function problem(reason: Reason): string | undefined {
  switch (reason) {
    case 'unauthenticated':
      return 'Signed out by the server. Reload the page to sign in';
    case 'replaced':
      return 'Opened in another window. Reload the page to go on here';
    case 'bad_request':
      return 'The server does not understand this page. Reload it';
    default:
      return undefined;
  }
}

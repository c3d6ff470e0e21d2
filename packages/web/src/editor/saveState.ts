import type { Role } from '../api/types';
import { mayEdit } from '../components/roles';

/** Where the user's edits stand, in the words of the state line. */
export type SaveState =
  | { kind: 'loading' | 'saved' | 'saving' | 'read_only' }
  | { kind: 'reconnecting' | 'offline'; waiting: number }
  | { kind: 'problem'; text: string; waiting: number };

/** What [saveState] looks at. */
export interface Situation {
  /** There is a text to show; until then nothing can be said of edits. */
  loaded: boolean;
  /** `offline`: lost for so long that the user should know. */
  connection: 'online' | 'reconnecting' | 'offline';
  /** Edits that are not known to be durable. */
  waiting: number;
  role: Role | undefined;
  /** Why the connection does not come back by itself. */
  problem: string | undefined;
}

export function saveState({ loaded, connection, waiting, role, problem }: Situation): SaveState {
  if (problem !== undefined) return { kind: 'problem', text: problem, waiting };
  if (connection === 'offline') return { kind: 'offline', waiting };
  if (!loaded) return { kind: 'loading' };
  if (connection === 'reconnecting') return { kind: 'reconnecting', waiting };
  if (waiting > 0) return { kind: 'saving' };
  return { kind: mayEdit(role) ? 'saved' : 'read_only' };
}

/** The line's text. */
export function saveStateText(state: SaveState): string {
  switch (state.kind) {
    case 'loading':
      return 'Opening…';
    case 'saved':
      return 'Saved';
    case 'saving':
      return 'Saving…';
    case 'read_only':
      return 'Read only';
    case 'reconnecting':
      return `Reconnecting…${waitingText(state.waiting)}`;
    case 'offline':
      return `Offline${waitingText(state.waiting)}`;
    case 'problem':
      return `${state.text}${waitingText(state.waiting)}`;
  }
}

function waitingText(waiting: number): string {
  if (waiting === 0) return '';
  return waiting === 1 ? ' – 1 edit waiting' : ` – ${waiting} edits waiting`;
}

import { Text, VisuallyHidden } from '@mantine/core';
import {
  IconAlertTriangle,
  IconCloudCheck,
  IconCloudOff,
  IconCloudUp,
  IconEye,
  IconLoader2,
  IconRefresh,
} from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import classes from './StateLine.module.css';
import { type SaveState, saveStateText } from './saveState';

const ICONS = {
  loading: IconLoader2,
  saved: IconCloudCheck,
  saving: IconCloudUp,
  read_only: IconEye,
  reconnecting: IconRefresh,
  offline: IconCloudOff,
  problem: IconAlertTriangle,
} as const;

/** Where the user's edits stand. */
export function StateLine({ state }: { state: SaveState }) {
  const calm = useCalm(state);
  const Icon = ICONS[calm.kind];
  const text = saveStateText(calm);
  return (
    <Text component="div" className={classes.line} data-state={calm.kind} title={text}>
      <Icon size={17} stroke={1.75} aria-hidden className={classes.icon} />
      <span className={classes.text} data-testid="state-line" aria-hidden>
        {text}
      </span>
      <VisuallyHidden role="status">{announcement(calm)}</VisuallyHidden>
    </Text>
  );
}

/** What a screen reader says: nothing on the way, and nothing that counts up with every key. */
function announcement(state: SaveState): string {
  if (state.kind === 'saving' || state.kind === 'loading') return '';
  return saveStateText('waiting' in state ? { ...state, waiting: 0 } : state);
}

const SETTLE_MS = 400;

/** Holds "Saving…" for a moment after the last edit, lest the line flicker at every key. */
function useCalm(state: SaveState): SaveState {
  const [isSettled, setSettled] = useState(true);
  useEffect(() => {
    if (state.kind === 'saving') {
      setSettled(false);
      return;
    }
    const timer = setTimeout(() => setSettled(true), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [state.kind]);
  return state.kind === 'saved' && !isSettled ? { kind: 'saving' } : state;
}

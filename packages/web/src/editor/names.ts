import type { MotetDocument } from '@motet/client';
import { Delta, type QuillCursors } from './quill';

/** How long a name stays at a caret after it moved. */
const SHOWN_MS = 2_500;

/** The module that draws the others' carets. */
export type CursorsModule = InstanceType<typeof QuillCursors>;

/**
 * Shows the name at a caret while its owner writes or moves, and not when others' edits push it along.
 * Returns how to stop. To be called after the carets themselves are bound.
 */
export function showNames(document: MotetDocument, cursors: CursorsModule): () => void {
  const heads = new Map<string, number | undefined>();
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  for (const { sessionId, head } of document.presence.values()) heads.set(sessionId, head);

  const ends = [
    document.on('change', ({ delta }) => {
      const change = new Delta([...delta]);
      for (const [sessionId, head] of heads) {
        // An insertion at a caret moves it only if it is its owner's: that counts as a movement.
        if (head !== undefined) heads.set(sessionId, change.transformPosition(head, true));
      }
    }),
    document.on('presence', (presence) => {
      for (const { sessionId, head } of presence.values()) {
        if (head !== undefined && head !== heads.get(sessionId)) flag(sessionId);
        heads.set(sessionId, head);
      }
      for (const sessionId of [...heads.keys()]) {
        if (!presence.has(sessionId)) heads.delete(sessionId);
      }
    }),
  ];

  const flag = (sessionId: string) => {
    cursors.toggleFlag(sessionId, true);
    clearTimeout(timers.get(sessionId));
    timers.set(
      sessionId,
      setTimeout(() => cursors.toggleFlag(sessionId, false), SHOWN_MS),
    );
  };

  return () => {
    for (const end of ends) end();
    for (const timer of timers.values()) clearTimeout(timer);
  };
}

import type Quill from 'quill/core.js';
import type { CursorsModule } from './names';
import type { Person } from './people';

/** How long the name stays at the caret that was looked for. */
const SHOWN_MS = 4_000;

/** Scrolls to where `person` writes and shows their name there. */
export function goToPerson(quill: Quill, { sessionId, head }: Person): void {
  if (head === undefined) return;
  const caret = quill.getBounds(Math.min(head, quill.getLength() - 1));
  if (!caret) return;
  const top = quill.container.getBoundingClientRect().top + window.scrollY + caret.top;
  // A third from the top: below the bars, with what follows in view.
  window.scrollTo({ top: top - window.innerHeight / 3, behavior: scrollBehavior() });
  const cursors = quill.getModule('cursors') as CursorsModule;
  cursors.toggleFlag(sessionId, true);
  setTimeout(() => cursors.toggleFlag(sessionId, false), SHOWN_MS);
}

function scrollBehavior(): ScrollBehavior {
  return matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth';
}

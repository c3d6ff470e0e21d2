/** y-monaco marks the others' cursors with a class for each client; this gives them name and colour. */
import type { Awareness } from 'y-protocols/awareness';
import type { User } from '../shared/page';

export function paintCursors(awareness: Awareness): void {
  const style = document.createElement('style');
  document.head.append(style);
  const paint = () => {
    style.textContent = [...awareness.getStates()]
      .flatMap(([client, { user }]) => (user ? [rules(client, user as User)] : []))
      .join('\n');
  };
  awareness.on('change', paint);
  paint();
}

function rules(client: number, { name, color }: User): string {
  // Both come from other people.
  const paint = CSS.supports('color', color) ? color : '#868e96';
  return `
    .yRemoteSelection-${client} { background: color-mix(in srgb, ${paint} 25%, transparent); }
    .yRemoteSelectionHead-${client} { border-left: 2px solid ${paint}; }
    .yRemoteSelectionHead-${client}::after { background: ${paint}; content: "${CSS.escape(name)}"; }`;
}

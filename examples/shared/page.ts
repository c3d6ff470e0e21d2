/** What the example pages share: where to connect, the bar at the top, and how the connection stands. */
import type { Awareness } from 'y-protocols/awareness';
import './page.css';

/** Colours that are told apart, and that white text can be read on. */
const COLORS = ['#c92a2a', '#0b7285', '#5f3dc4', '#2b8a3e', '#a61e4d', '#1864ab', '#d9480f'];

/** Who is at the keyboard, as editors show it at cursors. */
export interface User {
  readonly name: string;
  readonly color: string;
  /** The colour of selections. */
  readonly colorLight: string;
}

/** What the page's address says: `?server=…&document=…&token=…&name=…&color=…`. */
export interface Place {
  /** Such as `ws://127.0.0.1:8080`. */
  readonly server: string;
  readonly documentId: string;
  readonly token: string;
  readonly user: User;
}

/** How the connection stands; tests read it from the page. */
export type State =
  | 'connecting'
  | 'live'
  | 'saving'
  | 'saved'
  | 'offline'
  | 'not_kept'
  | 'read_only'
  | 'refused';

const WORDS: { readonly [state in State]: string } = {
  connecting: 'Connecting…',
  live: 'Live',
  saving: 'Saving…',
  saved: 'Saved',
  offline: 'Offline',
  not_kept: 'Not kept on this device',
  read_only: 'Read only',
  refused: 'No access',
};

export interface Page extends Place {
  /** Where the editor goes. */
  readonly element: HTMLElement;
  show(state: State): void;
  /** Shows who is here. */
  people(awareness: Awareness): void;
}

/** Reads the address and draws the page around the editor. */
export function openPage(title: string): Page {
  const place = readPlace(new URLSearchParams(location.search));
  const state = element('span', 'state');
  const people = element('ul', 'people');
  people.setAttribute('aria-label', 'People in this document');
  const home = element('a', 'home');
  home.href = `../${location.search}`;
  home.append(Object.assign(element('img'), { src: ICON, alt: 'All examples' }));
  const name = element('h1');
  name.textContent = title;
  const bar = element('header', 'bar');
  bar.append(home, name, state, people);
  const sheet = element('main', 'sheet');
  document.body.append(bar, sheet);

  const show = (next: State) => {
    document.body.dataset.state = next;
    state.textContent = WORDS[next];
  };
  show('connecting');
  return {
    ...place,
    element: sheet,
    show,
    people: (awareness) => {
      const draw = () => people.replaceChildren(...faces(awareness));
      awareness.on('change', draw);
      draw();
    },
  };
}

const ICON = new URL('./favicon.svg', import.meta.url).href;

function readPlace(query: URLSearchParams): Place {
  const server = query.get('server') ?? 'http://127.0.0.1:8080';
  const name = query.get('name') ?? 'Someone';
  const color = query.get('color') ?? colorOf(name);
  return {
    server: server.replace(/^http/, 'ws').replace(/\/$/, ''),
    documentId: query.get('document') ?? '',
    token: query.get('token') ?? '',
    user: { name, color, colorLight: `${color}40` },
  };
}

/** The same colour for the same name. */
function colorOf(name: string): string {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  return COLORS[sum % COLORS.length] ?? '#1864ab';
}

/** A circle with initials for each person. */
function faces(awareness: Awareness): HTMLElement[] {
  return [...awareness.getStates().values()].flatMap((state) => {
    // Lexical has name and colour at the top of its state, the others below `user`.
    const { name, color } = (state.user ?? state) as Partial<User>;
    if (!name) return [];
    const face = element('li', 'face');
    face.textContent = [...name].slice(0, 2).join('');
    face.title = name;
    face.style.background = color ?? '#868e96';
    return [face];
  });
}

function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = '',
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  made.className = className;
  return made;
}

/** The providers that people use, unmodified, each under the same face. */
import * as hocuspocus2 from 'hocuspocus-provider-2';
import * as hocuspocus3 from 'hocuspocus-provider-3';
import * as hocuspocus4 from 'hocuspocus-provider-4';
import WebSocket from 'ws';
import type { Awareness } from 'y-protocols/awareness';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { until } from '../../../client/tests/support/motet.js';

/** Where to connect: the server's address, a document of it, and whose token is shown. */
export interface Place {
  readonly url: string;
  readonly documentId: string;
  readonly token: string;
}

/** A Yjs document and its connection. */
export interface Peer {
  readonly doc: Y.Doc;
  /** The text that OT clients see too. */
  readonly text: Y.Text;
  readonly awareness: Awareness;
  /** The server's state has arrived. */
  synced(): boolean;
  /** Edits that are not stored yet, as far as the provider can tell; y-websocket cannot. */
  unsaved(): number | undefined;
  /** Ends the connection, and waits until it has ended. */
  leave(): Promise<void>;
  comeBack(): void;
  /** Cuts the connection as a lost network does; the provider comes back by itself. */
  cut(): void;
  destroy(): void;
}

export type Open = (place: Place) => Peer;

/** A provider may give up a socket that is still connecting; in Node that is an error that nobody hears. */
class Socket extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols);
    this.on('error', () => {});
  }
}

/** How soon a provider tries again, in place of its seconds. */
const RETRY_MS = 50;

/** The address of a gateway, such as `ws://127.0.0.1:8080/yjs`. */
export function gateway(url: string, path: 'yjs' | 'hocuspocus'): string {
  return `${url.replace(/^http/, 'ws')}/${path}`;
}

/** The state of a peer without its provider. */
function state() {
  const doc = new Y.Doc();
  return { doc, text: doc.getText('content') };
}

export function openYWebsocket({ url, documentId, token }: Place): Peer & {
  readonly provider: WebsocketProvider;
} {
  const { doc, text } = state();
  const provider = new WebsocketProvider(gateway(url, 'yjs'), documentId, doc, {
    params: { token },
    WebSocketPolyfill: Socket as unknown as typeof globalThis.WebSocket,
    // Peers of one process must meet at the server, not on a channel between them.
    disableBc: true,
  });
  return {
    doc,
    text,
    provider,
    awareness: provider.awareness,
    synced: () => provider.synced,
    unsaved: () => undefined,
    leave: async () => provider.disconnect(),
    comeBack: () => provider.connect(),
    cut: () => (provider.ws as unknown as WebSocket | null)?.terminate(),
    destroy: () => {
      provider.destroy();
      doc.destroy();
    },
  };
}

/** What the three versions of the Hocuspocus provider have in common. */
export interface HocuspocusPeer extends Peer {
  readonly scope: () => string | undefined;
  /** What the provider told, in order: `authenticated`, `authenticationFailed`, `close`. */
  readonly told: string[];
  /** Shows this token when it is asked the next time. */
  setToken(token: string): void;
  /** Asks again on the same socket, after a refusal; version 2 cannot. */
  askAgain(): void;
}

interface Connection {
  webSocket: unknown;
  status: string;
  connect(): Promise<unknown>;
  disconnect(): void;
  destroy(): void;
}

interface Provider {
  isSynced: boolean;
  unsyncedChanges: number;
  authorizedScope: string | undefined;
  awareness: Awareness | null;
  // biome-ignore lint/complexity/noBannedTypes: the providers' own emitters take any function.
  on(event: string, listener: Function): unknown;
  sendToken?(): Promise<void>;
  startSync(): void;
  destroy(): void;
}

function peer(
  { doc, text }: ReturnType<typeof state>,
  provider: Provider,
  socket: Connection,
  setToken: (token: string) => void,
): HocuspocusPeer {
  const { awareness } = provider;
  if (!awareness) throw new Error('a provider of these tests has an awareness');
  const told: string[] = [];
  for (const event of ['authenticated', 'authenticationFailed', 'close']) {
    provider.on(event, () => told.push(event));
  }
  return {
    doc,
    text,
    awareness,
    told,
    setToken,
    askAgain: () => {
      void provider.sendToken?.();
      provider.startSync();
    },
    scope: () => provider.authorizedScope,
    synced: () => provider.isSynced,
    unsaved: () => provider.unsyncedChanges,
    leave: async () => {
      // One that is just connecting would not tell that it has given up.
      await until(() => socket.status === 'connected', 'the socket is open');
      socket.disconnect();
      await until(() => socket.status === 'disconnected', 'the socket is closed');
    },
    comeBack: () => {
      void socket.connect();
    },
    cut: () => (socket.webSocket as WebSocket | null)?.terminate(),
    destroy: () => {
      provider.destroy();
      socket.destroy();
      doc.destroy();
    },
  };
}

/** Settings of a socket, for every version. */
export function socketOptions(url: string) {
  const retry = { delay: RETRY_MS, minDelay: RETRY_MS, maxDelay: RETRY_MS, jitter: false };
  return { url: gateway(url, 'hocuspocus'), WebSocketPolyfill: Socket, ...retry };
}

export function openHocuspocus2({ url, documentId, token }: Place): HocuspocusPeer {
  const start = state();
  let shown = token;
  const socket = new hocuspocus2.HocuspocusProviderWebsocket(socketOptions(url));
  const provider = new hocuspocus2.HocuspocusProvider({
    websocketProvider: socket,
    name: documentId,
    document: start.doc,
    token: () => shown,
    broadcast: false,
  });
  return peer(start, provider, socket as unknown as Connection, (next) => {
    shown = next;
  });
}

export function openHocuspocus3({ url, documentId, token }: Place): HocuspocusPeer {
  const start = state();
  let shown = token;
  const socket = new hocuspocus3.HocuspocusProviderWebsocket(socketOptions(url));
  const provider = new hocuspocus3.HocuspocusProvider({
    websocketProvider: socket,
    name: documentId,
    document: start.doc,
    token: () => shown,
  });
  provider.attach();
  return peer(start, provider, socket as unknown as Connection, (next) => {
    shown = next;
  });
}

export function openHocuspocus4({ url, documentId, token }: Place): HocuspocusPeer {
  const start = state();
  let shown = token;
  const socket = new hocuspocus4.HocuspocusProviderWebsocket(socketOptions(url));
  const provider = new hocuspocus4.HocuspocusProvider({
    websocketProvider: socket,
    name: documentId,
    document: start.doc,
    token: () => shown,
  });
  provider.attach();
  return peer(start, provider, socket as unknown as Connection, (next) => {
    shown = next;
  });
}

export const HOCUSPOCUS: readonly (readonly [string, (place: Place) => HocuspocusPeer])[] = [
  ['Hocuspocus 2', openHocuspocus2],
  ['Hocuspocus 3', openHocuspocus3],
  ['Hocuspocus 4', openHocuspocus4],
];

/** Every provider, by the name that a test shows. */
export const PEERS: readonly (readonly [string, Open])[] = [
  ['y-websocket 3', openYWebsocket],
  ...HOCUSPOCUS,
];

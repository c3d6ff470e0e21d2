/**
 * What takes frames to a server and back: a WebSocket here, requests and an event stream in `events.ts`.
 *
 * A carrier is used once: it opens when it is made, and when it is closed it is over.
 */
import type { ClientMessage } from './messages.js';

/** How frames can travel, by the names that applications use. */
export type CarrierName = 'websocket' | 'sse';

export interface Carrier {
  /** Takes a message on its way; what is not on its way when the carrier ends may never arrive. */
  send(message: ClientMessage): void;
  /** From here on nothing is told any more. */
  close(): void;
}

/** A connection as it is asked for. */
export interface Opening {
  /** Of the server: `http://…` or `https://…`. */
  readonly url: string;
  readonly documentId: string;
  readonly clientId: string;
  readonly token: string;
  /** Where to go on from. */
  readonly revision: number | undefined;
  /** Whether a submission on that revision follows: then nothing comes before it. */
  readonly pending: boolean;
}

/** What a carrier tells. */
export interface Ear {
  onFrame(frame: string): void;
  /** It is over: a close code of the protocol, and why where the carrier knows more. */
  onEnd(code: number, complaint?: string): void;
}

/** The code of an end without a farewell. */
export const CLOSE_BROKEN = 1006;

/** The part of a WebSocket that is needed: the browser's, or that of the package `ws`. */
export interface Socket {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}

export type SocketConstructor = new (url: string) => Socket;

/** Opens a connection that is a WebSocket. The token goes in a message: addresses end up in logs. */
export function openSocket(WebSocket: SocketConstructor, opening: Opening, ear: Ear): Carrier {
  const address = addressOf(opening.url, `collab/${opening.documentId}`, opening);
  return start(WebSocket, address, opening.token, ear);
}

/** Whether a WebSocket to the server opens and passes on what is said, within `patienceMs`. */
export async function socketsWork(
  WebSocket: SocketConstructor,
  url: string,
  token: string,
  patienceMs: number,
): Promise<boolean> {
  let carrier: Carrier | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    return await new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), patienceMs);
      carrier = start(WebSocket, addressOf(url, 'collab'), token, {
        onFrame: (frame) => {
          // A second time each way: some proxies let the beginning through.
          if (frame.includes('"authenticated"')) carrier?.send({ type: 'ping' });
          if (frame.includes('"pong"')) resolve(true);
        },
        onEnd: () => resolve(false),
      });
    });
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
    carrier?.close();
  }
}

function start(WebSocket: SocketConstructor, address: URL, token: string, ear: Ear): Carrier {
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(address.href);
  const send = (message: ClientMessage) => socket.send(JSON.stringify(message));
  let closed = false;
  socket.onopen = () => {
    if (!closed) send({ type: 'auth', token });
  };
  socket.onmessage = ({ data }) => {
    if (!closed && typeof data === 'string') ear.onFrame(data);
  };
  socket.onclose = ({ code }) => {
    if (!closed) ear.onEnd(code);
  };
  // A close follows, and says more.
  socket.onerror = () => {};
  return {
    send,
    close: () => {
      closed = true;
      socket.close(1000);
    },
  };
}

/** An address of the server, with what a connection has to say in its query. */
export function addressOf(
  url: string,
  path: string,
  opening?: Pick<Opening, 'clientId' | 'revision' | 'pending'>,
): URL {
  const address = new URL(path, `${url.replace(/\/$/, '')}/`);
  if (opening) {
    address.searchParams.set('clientId', opening.clientId);
    address.searchParams.set('batches', 'true');
  }
  if (opening?.revision !== undefined) {
    address.searchParams.set('revision', String(opening.revision));
    if (opening.pending) address.searchParams.set('pending', 'true');
  }
  return address;
}

/**
 * One document's WebSocket: connects, authenticates, notices when the server is gone, and comes back.
 *
 * It knows frames, close codes and time, and nothing of documents.
 */
import type { ClientMessage, ServerMessage } from './messages.js';

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

/** Why a connection is over for good. */
export type FatalReason =
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'replaced'
  | 'bad_request';

export interface TransportOptions {
  /** Of the server: `http://…` or `https://…`. */
  readonly url: string;
  readonly documentId: string;
  readonly clientId: string;
  /** A valid access token; asked for at each connection, and again when the server refuses one. */
  readonly token: (refused: boolean) => string | Promise<string>;
  readonly WebSocket: SocketConstructor;
  /** Where to go on from, asked for at each connection. */
  readonly revision: () => number | undefined;
  /** Whether a submission on that revision follows. */
  readonly pending: () => boolean;
  readonly onMessage: (message: ServerMessage) => void;
  /** After each frame, whose messages belong together. */
  readonly onFrame: () => void;
  readonly onState: (state: TransportState) => void;
  /** A message was too large for the server. */
  readonly onTooLarge: () => void;
}

export type TransportState =
  | { readonly state: 'connecting' }
  | { readonly state: 'open' }
  /** Waits to try again, at most `retryMs`. */
  | { readonly state: 'offline'; readonly retryMs: number }
  | { readonly state: 'closed'; readonly reason?: FatalReason };

const BACK_OFF_FIRST_MS = 250;
const BACK_OFF_MOST_MS = 30_000;
/** A connection that lasted this long was a good one: the next failure starts from the first back-off. */
const STABLE_MS = 5_000;
const PING_MS = 15_000;
const PONG_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 15_000;
/** A token is renewed when this is left of its time, or half of it if it is short. */
const RENEW_MS = 60_000;
const RENEW_LEAST_MS = 1_000;
/** The longest that timers can wait. */
const TIMER_MOST_MS = 2 ** 31 - 1;

const CLOSE_TOO_LARGE = 1009;
const CLOSE_RESTART = 1012;
const CLOSE_UNAUTHENTICATED = 4401;
/** A token may run out on its way, where tokens are short-lived and machines slow; but not so often. */
const EXPIRIES_MOST = 5;
const FATAL: { readonly [code: number]: FatalReason } = {
  4400: 'bad_request',
  4403: 'forbidden',
  4404: 'not_found',
  4409: 'replaced',
};

export class Transport {
  private socket: Socket | undefined;
  private authenticated = false;
  private failures = 0;
  private refused = false;
  /** The code of the last error that this connection brought: why it closes, if it does. */
  private complaint: string | undefined;
  private expiries = 0;
  private stopped = true;
  private openedAt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private alive: ReturnType<typeof setTimeout> | undefined;
  private renewal: ReturnType<typeof setTimeout> | undefined;
  private readonly online = () => this.reconnect();

  constructor(private readonly options: TransportOptions) {}

  /** Connects, and stays connected until `stop`. */
  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    globalThis.addEventListener?.('online', this.online);
    void this.connect();
  }

  /** Closes the connection for good. */
  stop(reason?: FatalReason): void {
    if (this.stopped) return;
    this.stopped = true;
    globalThis.removeEventListener?.('online', this.online);
    clearTimeout(this.retry);
    this.drop();
    this.options.onState(reason ? { state: 'closed', reason } : { state: 'closed' });
  }

  /** Tries at once instead of waiting. */
  reconnect(): void {
    if (this.stopped || this.socket) return;
    clearTimeout(this.retry);
    void this.connect();
  }

  /** Gives the connection up for a new one, which may go on from elsewhere. */
  restart(): void {
    if (this.socket) this.lost(CLOSE_RESTART);
  }

  /** Sends if connected; who resumes sends what matters again. */
  send(message: ClientMessage): void {
    if (this.authenticated) this.socket?.send(JSON.stringify(message));
  }

  private async connect(): Promise<void> {
    this.options.onState({ state: 'connecting' });
    let token: string;
    try {
      token = await this.options.token(this.refused);
    } catch {
      this.wait();
      return;
    }
    if (this.stopped || this.socket) return;
    const socket = new this.options.WebSocket(this.address());
    this.socket = socket;
    this.authenticated = false;
    const mine = () => this.socket === socket;
    this.watch(CONNECT_TIMEOUT_MS);
    socket.onopen = () => {
      if (!mine()) return;
      this.openedAt = Date.now();
      socket.send(JSON.stringify({ type: 'auth', token } satisfies ClientMessage));
    };
    socket.onmessage = ({ data }) => {
      if (mine() && typeof data === 'string') this.receive(data);
    };
    socket.onclose = ({ code }) => {
      if (mine()) this.lost(code);
    };
    // A close follows, and says more.
    socket.onerror = () => {};
  }

  private address(): string {
    const { url, documentId, clientId } = this.options;
    const address = new URL(`collab/${documentId}`, `${url.replace(/\/$/, '')}/`);
    address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
    address.searchParams.set('clientId', clientId);
    const revision = this.options.revision();
    if (revision !== undefined) {
      address.searchParams.set('revision', String(revision));
      // Then the server sends nothing before it, and can merge it however old it is.
      if (this.options.pending()) address.searchParams.set('pending', 'true');
    }
    return address.href;
  }

  private receive(data: string): void {
    const { socket } = this;
    const frame = JSON.parse(data) as ServerMessage | ServerMessage[];
    this.watch(PING_MS);
    for (const message of Array.isArray(frame) ? frame : [frame]) {
      if (socket !== this.socket) return;
      if (message.type === 'error') this.complaint = message.code;
      if (message.type === 'authenticated') this.accepted(Date.parse(message.expiresAt));
      // A server that sends a document has accepted the token, whatever else it has said so far.
      if (message.type === 'document_state') this.opened();
      this.options.onMessage(message);
    }
    this.options.onFrame();
  }

  private accepted(expiresAt: number): void {
    this.opened();
    const left = expiresAt - Date.now();
    // A clock that runs ahead must not make for a renewal without a pause.
    const renewal = left > 0 ? left - Math.min(RENEW_MS, left / 2) : RENEW_MS;
    clearTimeout(this.renewal);
    this.renewal = setTimeout(
      () => void this.renew(),
      Math.min(Math.max(renewal, RENEW_LEAST_MS), TIMER_MOST_MS),
    );
  }

  private opened(): void {
    this.refused = false;
    this.expiries = 0;
    if (this.authenticated) return;
    this.authenticated = true;
    this.options.onState({ state: 'open' });
  }

  /** A fresh token in time needs no new connection. */
  private async renew(): Promise<void> {
    const socket = this.socket;
    try {
      const token = await this.options.token(true);
      if (socket && socket === this.socket) socket.send(JSON.stringify({ type: 'auth', token }));
    } catch {
      // The server closes the connection when the time is over, and the next one asks again.
    }
  }

  /** Nothing heard for `quietMs`: ask, and then give the connection up. */
  private watch(quietMs: number): void {
    clearTimeout(this.alive);
    this.alive = setTimeout(() => {
      if (!this.authenticated) {
        this.lost(CLOSE_RESTART);
        return;
      }
      this.send({ type: 'ping' });
      this.alive = setTimeout(() => this.lost(CLOSE_RESTART), PONG_TIMEOUT_MS);
    }, quietMs);
  }

  private lost(code: number): void {
    const lasted = this.openedAt > 0 && Date.now() - this.openedAt >= STABLE_MS;
    const complaint = this.complaint;
    this.drop();
    const fatal = FATAL[code];
    if (fatal) {
      this.stop(fatal);
      return;
    }
    if (code === CLOSE_UNAUTHENTICATED) {
      // Once with a fresh token; if that is refused as well, only the user can help.
      const expired = complaint === 'token_expired' && this.expiries < EXPIRIES_MOST;
      if (expired) this.expiries += 1;
      if (this.refused && !expired) {
        this.stop('unauthenticated');
        return;
      }
      this.refused = true;
    }
    if (code === CLOSE_TOO_LARGE) this.options.onTooLarge();
    if (lasted) this.failures = 0;
    this.wait();
  }

  /** Exponential back-off with full jitter, so that a thousand clients do not come back at once. */
  private wait(): void {
    if (this.stopped) return;
    const ceiling = Math.min(BACK_OFF_FIRST_MS * 2 ** this.failures, BACK_OFF_MOST_MS);
    this.failures += 1;
    const retryMs = Math.random() * ceiling;
    this.options.onState({ state: 'offline', retryMs });
    this.retry = setTimeout(() => void this.connect(), retryMs);
  }

  private drop(): void {
    clearTimeout(this.alive);
    clearTimeout(this.renewal);
    const socket = this.socket;
    this.socket = undefined;
    this.authenticated = false;
    this.complaint = undefined;
    this.openedAt = 0;
    socket?.close(1000);
  }
}

/**
 * One document's connection: connects, authenticates, notices when the server is gone, and comes back,
 * over whatever carries frames to it.
 *
 * It knows frames, close codes and time, and nothing of documents.
 */
import {
  type Carrier,
  type CarrierName,
  CLOSE_BROKEN,
  openSocket,
  type SocketConstructor,
  socketsWork,
} from './carrier.js';
import { Choice, STABLE_MS } from './choice.js';
import { openEvents } from './events.js';
import type { ClientMessage, ServerMessage } from './messages.js';

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
  /** What may carry frames, the favourite first. */
  readonly transports: readonly CarrierName[];
  /** For the carrier `websocket`. */
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
  /** `moving`: only to a better carrier, so this takes a moment. */
  | { readonly state: 'connecting'; readonly moving: boolean }
  | { readonly state: 'open' }
  /** Waits to try again, at most `retryMs`. */
  | { readonly state: 'offline'; readonly retryMs: number }
  | { readonly state: 'closed'; readonly reason?: FatalReason };

const BACK_OFF_FIRST_MS = 250;
const BACK_OFF_MOST_MS = 30_000;
const PING_MS = 15_000;
const PONG_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 15_000;
/** Where there is another carrier to try, a WebSocket that says nothing is not waited for so long. */
const SOCKET_TIMEOUT_MS = 5_000;
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
  private carrier: Carrier | undefined;
  private readonly choice: Choice;
  private authenticated = false;
  private failures = 0;
  private refused = false;
  /** The code of the last error that this connection brought: why it closes, if it does. */
  private complaint: string | undefined;
  private expiries = 0;
  private stopped = true;
  private openedAt = 0;
  private heardAt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private alive: ReturnType<typeof setTimeout> | undefined;
  private renewal: ReturnType<typeof setTimeout> | undefined;
  private turnBack: ReturnType<typeof setTimeout> | undefined;
  private readonly online = () => this.reconnect();

  constructor(private readonly options: TransportOptions) {
    this.choice = new Choice(options.url, options.transports);
  }

  /** What carries the frames, or would. */
  get carrierName(): CarrierName {
    return this.choice.current;
  }

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
    if (this.stopped || this.carrier) return;
    clearTimeout(this.retry);
    void this.connect();
  }

  /** Gives the connection up for a new one, which may go on from elsewhere. */
  restart(): void {
    if (this.carrier) this.lost(CLOSE_RESTART);
  }

  /** Sends if connected; who resumes sends what matters again. */
  send(message: ClientMessage): void {
    if (this.authenticated) this.carrier?.send(message);
  }

  private async connect(): Promise<void> {
    this.options.onState({ state: 'connecting', moving: false });
    let token: string;
    try {
      token = await this.options.token(this.refused);
    } catch {
      this.wait();
      return;
    }
    if (!this.stopped && !this.carrier) this.open(token);
  }

  private open(token: string): void {
    const { url, documentId, clientId, WebSocket } = this.options;
    const revision = this.options.revision();
    const pending = revision !== undefined && this.options.pending();
    const opening = { url, documentId, clientId, token, revision, pending };
    const ear = {
      onFrame: (frame: string) => this.receive(frame),
      onEnd: (code: number, complaint?: string) => this.lost(code, complaint),
    };
    const socket = this.choice.current === 'websocket';
    this.watch(socket && this.choice.hasOther ? SOCKET_TIMEOUT_MS : CONNECT_TIMEOUT_MS);
    this.carrier = socket ? openSocket(WebSocket, opening, ear) : openEvents(opening, ear);
  }

  /** Tries now and then whether the favourite carrier works again. */
  private watchFavourite(): void {
    clearTimeout(this.turnBack);
    if (this.choice.favourite !== 'websocket') return;
    this.turnBack = setTimeout(() => void this.tryFavourite(), this.choice.returnInMs(Date.now()));
  }

  /** Moves to a WebSocket if there can be one; until then the connection goes on as it is. */
  private async tryFavourite(): Promise<void> {
    const { carrier } = this;
    const { url, WebSocket } = this.options;
    let token: string | undefined;
    try {
      token = await this.options.token(false);
      if (!(await socketsWork(WebSocket, url, token, SOCKET_TIMEOUT_MS))) token = undefined;
    } catch {
      // Without a token there is nothing to try, and the connection will find out as well.
    }
    if (!carrier || carrier !== this.carrier || !this.authenticated) return;
    this.choice.tried(token !== undefined);
    if (token === undefined) {
      this.watchFavourite();
      return;
    }
    this.drop();
    this.options.onState({ state: 'connecting', moving: true });
    this.open(token);
  }

  private receive(data: string): void {
    const { carrier } = this;
    this.heardAt = Date.now();
    const frame = JSON.parse(data) as ServerMessage | ServerMessage[];
    this.watch(PING_MS);
    for (const message of Array.isArray(frame) ? frame : [frame]) {
      if (carrier !== this.carrier) return;
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
    this.openedAt = Date.now();
    this.choice.works();
    this.watchFavourite();
    this.options.onState({ state: 'open' });
  }

  /** A fresh token in time needs no new connection. */
  private async renew(): Promise<void> {
    const { carrier } = this;
    try {
      const token = await this.options.token(true);
      if (carrier === this.carrier) this.send({ type: 'auth', token });
    } catch {
      // The server closes the connection when the time is over, and the next one asks again.
    }
  }

  /** Nothing heard for `quietMs`: ask, and then give the connection up. */
  private watch(quietMs: number): void {
    clearTimeout(this.alive);
    this.alive = setTimeout(() => {
      if (!this.authenticated) {
        this.lost(CLOSE_BROKEN);
        return;
      }
      this.send({ type: 'ping' });
      this.alive = setTimeout(() => this.lost(CLOSE_BROKEN), PONG_TIMEOUT_MS);
    }, quietMs);
  }

  private lost(code: number, complaint = this.complaint): void {
    const lasted = this.openedAt > 0 && Date.now() - this.openedAt >= STABLE_MS;
    const lastedMs = this.openedAt > 0 ? this.heardAt - this.openedAt : 0;
    this.choice.ended({ code, heard: this.heardAt > 0, lastedMs });
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
    clearTimeout(this.turnBack);
    const { carrier } = this;
    this.carrier = undefined;
    this.authenticated = false;
    this.complaint = undefined;
    this.openedAt = 0;
    this.heardAt = 0;
    carrier?.close();
  }
}

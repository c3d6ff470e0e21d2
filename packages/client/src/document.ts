/** A document as an application holds it: the core, its transport and its offline store together. */
import type { Attributes } from './attributes.js';
import type { CarrierName, SocketConstructor } from './carrier.js';
import {
  apart,
  document,
  type Effect,
  hasPending,
  type Input,
  localPresence,
  reject,
  restore,
  type Sync,
  save,
  settled,
  start,
  step,
  waiting,
} from './core.js';
import { type Delta, text } from './delta.js';
import { Emitter } from './emitter.js';
import { randomId } from './id.js';
import type { Presence, Role, Selection, ServerMessage } from './messages.js';
import type { Claim, OfflineStore } from './offline.js';
import { type FatalReason, Transport, type TransportState } from './transport.js';

export interface DocumentOptions {
  /** The server: `http://…` or `https://…`. */
  readonly url: string;
  readonly documentId: string;
  /** A valid access token. `refused` says that the last one was not accepted, or is about to expire. */
  readonly token: (refused: boolean) => string | Promise<string>;
  /** Where to keep the document and unsent edits; needs `userId`. */
  readonly offline?: OfflineStore;
  /** Whose edits these are. */
  readonly userId?: string;
  /** The browser's unless told; in Node that of the package `ws`. */
  readonly WebSocket?: SocketConstructor;
  /**
   * What may carry edits to the server, the favourite first: both unless told. `sse` is an event stream
   * and requests, for networks that let no WebSocket through; what is not the favourite is used only as
   * long as that does not work.
   */
  readonly transports?: readonly CarrierName[];
}

const TRANSPORTS: readonly CarrierName[] = ['websocket', 'sse'];

export interface Status {
  readonly connection: 'connecting' | 'online' | 'offline' | 'closed';
  /** Local edits that the server has not acknowledged. */
  readonly waiting: number;
  /** Everything is acknowledged, and an acknowledgement means stored. */
  readonly saved: boolean;
  /** Why the connection is closed for good. */
  readonly reason?: FatalReason;
}

export type Events = {
  /** The document is there, or has been replaced as a whole. */
  load: Delta;
  change: { readonly delta: Delta; readonly source: 'local' | 'remote' | 'rejected' };
  /** A submission of this client is durable as that change. */
  acknowledged: { readonly revision: number };
  status: Status;
  presence: ReadonlyMap<string, Presence>;
  role: Role;
  /** The server refused an edit. It has been taken back; `delta` is what it was. */
  rejected: { readonly delta: Delta; readonly code: string; readonly message: string };
  /** Anything else that went wrong. `not_kept`: edits cannot be stored on this device at the moment. */
  error: { readonly code: string; readonly message: string };
};

export class MotetDocument extends Emitter<Events> {
  private sync: Sync = start(randomId());
  private transport: Transport | undefined;
  private claim: Claim | undefined;
  private connection: Status['connection'] = 'closed';
  private reason: FatalReason | undefined;
  private lastStatus = '';
  private presenceMoved = false;
  private opening: Promise<void> | undefined;
  private destroyed = false;

  constructor(private readonly options: DocumentOptions) {
    super();
  }

  /** Loads what is kept offline, and then connects. */
  connect(): void {
    if (this.destroyed) throw new Error('the document was destroyed');
    if (this.transport) this.transport.start();
    else this.opening ??= this.open();
  }

  /** Ends the connection; edits wait until the next one. */
  disconnect(): void {
    this.transport?.stop();
  }

  /** Ends the connection, and waits until everything that can be kept is kept. */
  async destroy(): Promise<void> {
    this.destroyed = true;
    await this.opening;
    this.transport?.stop();
    await this.claim?.release();
  }

  get status(): Status {
    const count = waiting(this.sync);
    const status = { connection: this.connection, waiting: count, saved: count === 0 };
    return this.reason ? { ...status, reason: this.reason } : status;
  }

  /** The document with all local edits; `undefined` until it is loaded. O(n). */
  get content(): Delta | undefined {
    return document(this.sync);
  }

  /** The document's text, with U+FFFC for embeds. O(n). */
  get text(): string {
    return text(this.content ?? []);
  }

  get loaded(): boolean {
    return this.sync.content !== undefined;
  }

  /** The last change that is applied here. */
  get revision(): number {
    return this.sync.revision;
  }

  get role(): Role | undefined {
    return this.sync.role;
  }

  /** What carries edits to the server at the moment; `undefined` while nothing does. */
  get carrier(): CarrierName | undefined {
    return this.connection === 'online' ? this.transport?.carrierName : undefined;
  }

  get sessionId(): string | undefined {
    return this.sync.sessionId;
  }

  get color(): number | undefined {
    return this.sync.color;
  }

  /** The others, by session; positions count in the local document. */
  get presence(): ReadonlyMap<string, Presence> {
    this.sync = settled(this.sync);
    return localPresence(this.sync);
  }

  /**
   * Applies a local edit.
   *
   * @throws Error when the document is not loaded, DeltaError when the edit does not fit it.
   */
  edit(delta: Delta): void {
    this.take({ type: 'edit', delta });
    this.emit('change', { delta, source: 'local' });
    this.settled();
  }

  /** Tells the others where the local cursor is. */
  select(selection: Selection | null): void {
    this.take({ type: 'select', selection: selection ?? undefined });
  }

  /** Tells the others anything else, now and after each reconnect; `null` takes it back. */
  setPresence(data: Attributes | null): void {
    this.take({ type: 'describe', data: data ?? undefined });
  }

  private async open(): Promise<void> {
    const { offline, userId, url, documentId } = this.options;
    const notKept = (error: unknown) =>
      this.emit('error', { code: 'not_kept', message: `edits live as long as the page: ${error}` });
    if (offline && userId !== undefined) {
      try {
        this.claim = await offline.claim({ url, userId, documentId }, notKept);
        this.sync = this.claim.saved ? restore(this.claim.saved) : start(this.claim.clientId);
        if (this.claim.saved) this.emit('load', this.content ?? []);
      } catch (error) {
        // A browser may refuse storage, in a private window say.
        notKept(error);
      }
    }
    if (this.destroyed) return;
    this.transport = this.makeTransport();
    this.transport.start();
  }

  private makeTransport(): Transport {
    const { url, documentId, token, transports = TRANSPORTS } = this.options;
    const WebSocket =
      this.options.WebSocket ?? (globalThis.WebSocket as unknown as SocketConstructor);
    return new Transport({
      url,
      documentId,
      token,
      // Older versions of Node have none of their own.
      transports: transports.filter((name) => name !== 'websocket' || WebSocket !== undefined),
      WebSocket,
      clientId: this.sync.clientId,
      revision: () => (this.sync.content ? this.sync.revision : undefined),
      pending: () => hasPending(this.sync),
      onMessage: (message) => this.receive(message),
      onFrame: () => this.settled(),
      onState: (state) => this.moved(state),
      onTooLarge: () => this.run(reject(this.sync, 'too_large', 'the edit is too large')),
    });
  }

  private receive(message: ServerMessage): void {
    for (const one of apart(this.sync, message)) this.take({ type: 'message', message: one });
  }

  private take(input: Input): void {
    this.run(step(this.sync, input));
  }

  private run([sync, effects]: [Sync, Effect[]]): void {
    this.sync = sync;
    for (const effect of effects) this.perform(effect);
  }

  private perform(effect: Effect): void {
    switch (effect.type) {
      case 'send':
        this.transport?.send(effect.message);
        break;
      case 'load':
        this.emit('load', this.content ?? []);
        break;
      case 'change':
        if (effect.delta.length > 0) {
          this.emit('change', { delta: effect.delta, source: effect.source });
        }
        break;
      case 'acknowledged':
        this.emit('acknowledged', { revision: effect.revision });
        break;
      case 'presence':
        // Many changes may arrive at once, and whoever shows the others draws them once.
        this.presenceMoved = true;
        break;
      case 'role':
        if (this.sync.role) this.emit('role', this.sync.role);
        break;
      case 'rejected':
        this.emit('rejected', { delta: effect.delta, code: effect.code, message: effect.message });
        break;
      case 'resume':
        this.transport?.restart();
        break;
      case 'error':
        this.emit('error', { code: effect.code, message: effect.message });
        break;
    }
  }

  private moved(state: TransportState): void {
    if (state.state === 'connecting' && state.moving) {
      // Nothing that the user would have to know: it takes no longer than a slow answer.
      this.take({ type: 'disconnected', briefly: true });
      return;
    }
    this.connection = state.state === 'open' ? 'online' : state.state;
    this.reason = state.state === 'closed' ? state.reason : undefined;
    const known = this.sync.joined || this.sync.others.base.size > 0;
    if (state.state !== 'open' && known) this.take({ type: 'disconnected' });
    this.tell();
  }

  /** After a local edit or a frame of the server: keep it, and tell the application. */
  private settled(): void {
    const { sync } = this;
    this.claim?.save(() => save(sync));
    this.tell();
  }

  private tell(): void {
    if (this.presenceMoved) {
      this.presenceMoved = false;
      if (this.hears('presence')) this.emit('presence', this.presence);
    }
    const { status } = this;
    const key = JSON.stringify(status);
    if (key === this.lastStatus) return;
    this.lastStatus = key;
    this.emit('status', status);
  }
}

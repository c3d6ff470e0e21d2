/** A dummy server in memory: the rules of docs/protocol.md, and nothing else. */
import { compose, type Delta, transform } from '../../src/delta.js';
import type { BatchedChange, ClientMessage, ServerMessage } from '../../src/messages.js';

interface Change {
  readonly clientId: string;
  readonly seq: number;
  readonly delta: Delta;
}

/** One document. Messages to a client are handed to the function that it joined with. */
export class DummyServer {
  readonly log: Change[] = [];
  readonly sessions = new Map<string, (message: ServerMessage) => void>();
  private readonly numbers: string[] = [];
  /** Refuses what this says. */
  refuse: (delta: Delta) => string | undefined = () => undefined;

  get content(): Delta {
    return this.log.map((change) => change.delta).reduce(compose, []);
  }

  join(
    clientId: string,
    revision: number | undefined,
    send: (message: ServerMessage) => void,
  ): void {
    this.sessions.set(clientId, send);
    const mine = this.log.filter((change) => change.clientId === clientId);
    const state = {
      type: 'document_state',
      sessionId: `session-${clientId}`,
      number: this.number(clientId),
      lastSeq: mine.at(-1)?.seq ?? 0,
      role: 'editor',
      color: 0,
      presence: [],
    } as const;
    if (revision === undefined) {
      send({ ...state, revision: this.log.length, content: { ops: this.content } });
      return;
    }
    send({ ...state, revision });
    this.log.slice(revision).forEach((change, index) => {
      send(this.message(change, revision + index + 1, clientId));
    });
  }

  leave(clientId: string): void {
    this.sessions.delete(clientId);
  }

  receive(clientId: string, message: ClientMessage): void {
    if (message.type !== 'edit_operation') return;
    const { seq } = message;
    let delta = message.operation.ops;
    for (const [index, change] of this.log.slice(message.revision).entries()) {
      if (change.clientId === clientId && change.seq === seq) {
        this.sessions.get(clientId)?.({ type: 'ack', seq, revision: message.revision + index + 1 });
        return;
      }
      delta = transform(change.delta, delta, 'left');
    }
    const code = this.refuse(delta);
    if (code) {
      this.sessions.get(clientId)?.({ type: 'error', seq, code, message: 'refused' });
      return;
    }
    const change = { clientId, seq, delta };
    this.log.push(change);
    for (const [id, send] of this.sessions) send(this.message(change, this.log.length, id));
  }

  /** Messages as a client gets them that takes changes together. */
  together(messages: readonly ServerMessage[], to: string): ServerMessage[] {
    const told: ServerMessage[] = [];
    let batch: { type: 'operations'; revision: number; changes: BatchedChange[] } | undefined;
    for (const message of messages) {
      const change =
        message.type === 'ack' || message.type === 'operation'
          ? this.log[message.revision - 1]
          : undefined;
      if (!change || !('revision' in message)) {
        told.push(message);
        batch = undefined;
        continue;
      }
      const author = message.type === 'ack' ? to : change.clientId;
      const ops = change.delta.map((op) => {
        if ('attributes' in op) return op;
        if ('retain' in op) return op.retain;
        if ('delete' in op) return -op.delete;
        return typeof op.insert === 'string' ? op.insert : op;
      });
      if (!batch || batch.revision + batch.changes.length !== message.revision) {
        batch = { type: 'operations', revision: message.revision, changes: [] };
        told.push(batch);
      }
      batch.changes.push([this.number(author), change.seq, ...ops]);
    }
    return told;
  }

  private number(clientId: string): number {
    if (!this.numbers.includes(clientId)) this.numbers.push(clientId);
    return this.numbers.indexOf(clientId) + 1;
  }

  private message(change: Change, revision: number, to: string): ServerMessage {
    if (change.clientId === to) return { type: 'ack', seq: change.seq, revision };
    const sessionId = `session-${change.clientId}`;
    return {
      type: 'operation',
      revision,
      userId: 'user',
      sessionId,
      operation: { ops: change.delta },
    };
  }
}

/** A socket that is joined to the dummy server. */
export function socketTo(server: DummyServer) {
  return class Socket {
    onopen: ((event: never) => void) | null = null;
    onmessage: ((event: { data: unknown }) => void) | null = null;
    onclose: ((event: { code: number }) => void) | null = null;
    onerror: ((event: never) => void) | null = null;
    private readonly clientId: string;
    private readonly revision: number | undefined;

    constructor(url: string) {
      const { searchParams } = new URL(url);
      const revision = searchParams.get('revision');
      this.clientId = searchParams.get('clientId') ?? '';
      this.revision = revision === null ? undefined : Number(revision);
      queueMicrotask(() => this.onopen?.({} as never));
    }

    send(data: string): void {
      const message = JSON.parse(data) as ClientMessage;
      const say = (it: unknown) =>
        queueMicrotask(() => this.onmessage?.({ data: JSON.stringify(it) }));
      if (message.type !== 'auth') {
        queueMicrotask(() => server.receive(this.clientId, message));
        return;
      }
      say({
        type: 'authenticated',
        userId: 'u',
        expiresAt: new Date(Date.now() + 3.6e6).toISOString(),
      });
      server.join(this.clientId, this.revision, say);
    }

    close(): void {
      server.leave(this.clientId);
    }
  };
}

/** The real server: its own process, a fresh data directory, real sockets. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import {
  type DocumentOptions,
  MotetDocument,
  type Role,
  type SocketConstructor,
} from '../../src/index.js';

const BINARY =
  process.env.MOTET_BIN ??
  fileURLToPath(new URL('../../../../target/debug/motet', import.meta.url));

export interface Account {
  readonly userId: string;
  readonly token: string;
}

export class Motet {
  private child: ChildProcess | undefined;
  private readonly data = mkdtempSync(join(tmpdir(), 'motet-test-'));
  private readonly flags: readonly string[];
  url = '';

  /** Without limits on how much one may do, and with further `flags` for `motet serve`. */
  constructor(...flags: string[]) {
    this.flags = flags;
  }

  /** Starts, or starts again on the same data and address. */
  async start(): Promise<this> {
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const fixed = ['--listen', listen, '--data-dir', this.data, '--log', 'warn'];
    const child = spawn(BINARY, ['serve', ...fixed, '--limits', 'false', ...this.flags], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.child = child;
    for await (const line of createInterface({ input: child.stdout })) {
      const [, address] = /^motet listening on (http:\S+)$/.exec(line) ?? [];
      if (address) {
        this.url = address;
        return this;
      }
    }
    throw new Error(`${BINARY} did not start`);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async destroy(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.data, { recursive: true, force: true });
  }

  async call(
    method: string,
    path: string,
    token?: string,
    body?: unknown,
  ): Promise<Record<string, unknown>> {
    const response = await fetch(`${this.url}/api/v1/${path}`, {
      method,
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    if (!response.ok)
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.status === 204 ? {} : ((await response.json()) as Record<string, unknown>);
  }

  async register(name: string): Promise<Account> {
    const body = { email: `${name}@example.com`, password: 'a good password', name };
    return (await this.call('POST', 'auth/register', undefined, body)) as unknown as Account;
  }

  async create(account: Account): Promise<string> {
    const { documentId } = await this.call('POST', 'documents', account.token, { title: 'Test' });
    return documentId as string;
  }

  /** Shares a document with the account that `register` made under this name. */
  async share(owner: Account, documentId: string, name: string, role: Role): Promise<void> {
    const body = { email: `${name}@example.com`, role };
    await this.call('POST', `documents/${documentId}/grants`, owner.token, body);
  }

  open(account: Account, documentId: string, more: Partial<DocumentOptions> = {}): MotetDocument {
    const document = new MotetDocument({
      url: this.url,
      documentId,
      token: () => account.token,
      userId: account.userId,
      WebSocket: WebSocket as unknown as SocketConstructor,
      ...more,
    });
    document.connect();
    return document;
  }
}

/** Waits until `condition` holds; it is looked at whenever the event loop turns. */
export async function until(
  condition: () => boolean,
  what: string,
  patienceMs = 30_000,
): Promise<void> {
  const end = Date.now() + patienceMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

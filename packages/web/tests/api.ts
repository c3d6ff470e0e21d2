import { expect } from 'vitest';
import { type Account, newAccount } from './pages';
import type { Server } from './server';

/** Somebody who uses the server without a browser. */
export interface Client {
  readonly account: Account;
  readonly userId: string;
  /** Sends a request, and gives the answer's body. Fails unless it succeeded. */
  call<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T>;
  /** Sends a request, and gives the answer's status. */
  status(method: string, path: string, body?: Blob): Promise<number>;
}

interface SignedIn {
  userId: string;
  token: string;
}

/** A new account and a client that is signed in to it. */
export async function newClient(server: Server, name: string): Promise<Client> {
  const account = newAccount(name);
  return signedIn(server, account, 'register', account);
}

/** A client of an administrator, who is made on the command line. */
export async function newAdministrator(server: Server, name: string): Promise<Client> {
  const account = newAccount(name);
  await server.makeAdministrator(account);
  const { email, password } = account;
  return signedIn(server, account, 'login', { email, password });
}

async function signedIn(
  server: Server,
  account: Account,
  way: 'register' | 'login',
  body: unknown,
): Promise<Client> {
  const send = (method: string, path: string, content?: unknown, token?: string) => {
    const isBlob = content instanceof Blob;
    return fetch(`${server.url}/api/v1/${path}`, {
      method,
      headers: {
        ...(content === undefined
          ? {}
          : { 'content-type': isBlob ? content.type : 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(content === undefined ? {} : { body: isBlob ? content : JSON.stringify(content) }),
    });
  };
  const answer = await send('POST', `auth/${way}`, body);
  const { userId, token } = (await answer.json()) as SignedIn;
  return {
    account,
    userId,
    call: async <T>(method: string, path: string, content?: unknown) => {
      const response = await send(method, path, content, token);
      const text = await response.text();
      expect(response.ok, `${method} ${path}: ${response.status} ${text}`).toBe(true);
      return (text === '' ? undefined : JSON.parse(text)) as T;
    },
    status: async (method, path, content) => (await send(method, path, content, token)).status,
  };
}

/** Makes a document with this text; gives its path in the web application, and its id. */
export async function newDocument(
  client: Client,
  title: string,
  ops: unknown[] = [],
): Promise<{ path: string; documentId: string }> {
  const { documentId } = await client.call<{ documentId: string }>('POST', 'documents', { title });
  if (ops.length > 0) {
    const edit = { changes: { ops }, clientVersion: 0 };
    await client.call('PATCH', `documents/${documentId}/edit`, edit);
  }
  return { path: `/d/${documentId}`, documentId };
}

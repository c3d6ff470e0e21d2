// What each of the servers here is started with: --port PORT, and --persist FOLDER if it is to store anything.
import { createServer } from 'node:net';
import { once } from 'node:events';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { port: { type: 'string' }, persist: { type: 'string' } } });

export const host = '127.0.0.1';

/** The folder to store documents in, if any. */
export const persist = values.persist;

/** A port that is free, unless one was asked for. */
export async function port() {
  const asked = Number(values.port ?? 0);
  if (asked > 0) return asked;
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Tells whoever started the server that it can be spoken to. */
export function listening(port) {
  console.log(`listening on ${host}:${port}`);
}

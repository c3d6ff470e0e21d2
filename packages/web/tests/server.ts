import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Account } from './pages';

const BINARY =
  process.env.MOTET_BIN ?? fileURLToPath(new URL('../../../target/debug/motet', import.meta.url));

const START_MS_MAX = 15_000;
const STOP_MS_MAX = 5_000;

/** A `motet` process of its own, with an empty data directory. */
export interface Server {
  /** Such as `http://127.0.0.1:43117`. */
  url: string;
  port: number;
  /** Makes an account that manages its organization, on the command line. */
  makeAdministrator(account: Account): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts the real binary on a free port, without limits on how much one may do, and with further
 * `flags` for `motet serve`. Rejects with its output if it does not come up.
 */
export async function startServer(...flags: string[]): Promise<Server> {
  const dataDir = await mkdtemp(join(tmpdir(), 'motet-web-'));
  const settings = [
    '--listen',
    '127.0.0.1:0',
    '--data-dir',
    dataDir,
    '--limits',
    'false',
    ...flags,
  ];
  const child = spawn(BINARY, ['serve', ...settings], { stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const url = await listening(child);
    return {
      url,
      port: Number(new URL(url).port),
      makeAdministrator: (account) => makeAdministrator(dataDir, account),
      stop: async () => {
        await stop(child);
        await rm(dataDir, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await stop(child);
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  }
}

async function makeAdministrator(dataDir: string, account: Account): Promise<void> {
  const { name, email, password } = account;
  const flags = ['--administrator', '--data-dir', dataDir, '--name', name, '--email', email];
  const child = spawn(BINARY, ['user', 'create', ...flags], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  child.stdin.end(`${password}\n`);
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${BINARY} user create ended with code ${code}`);
}

/** The address in the line by which the server says that it is ready. */
function listening(child: ChildProcess): Promise<string> {
  let output = '';
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${BINARY} ${why}; its output:\n${output}`));
    const timer = setTimeout(() => fail(`was not ready after ${START_MS_MAX} ms`), START_MS_MAX);
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      const address = /motet listening on (http:\/\/\S+)/.exec(output)?.[1];
      if (!address) return;
      clearTimeout(timer);
      resolve(address);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('error', (error) => fail(`could not be started: ${error.message}`));
    child.once('exit', (code) => fail(`ended with code ${code}`));
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
  await ended;
  clearTimeout(timer);
}

// Hocuspocus with its own defaults, and its extension for SQLite if it is to store documents.
import { join } from 'node:path';
import { SQLite } from '@hocuspocus/extension-sqlite';
import { Server } from '@hocuspocus/server';
import { host, listening, persist, port } from './arguments.js';

const chosen = await port();
const extensions = persist ? [new SQLite({ database: join(persist, 'hocuspocus.sqlite') })] : [];
await new Server({ address: host, port: chosen, quiet: true, extensions }).listen();
listening(chosen);

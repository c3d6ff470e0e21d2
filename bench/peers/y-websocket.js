// y-websocket's server as it is shipped, which stores documents in LevelDB if it is to.
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { host, listening, persist, port } from './arguments.js';

const chosen = await port();
process.env.HOST = host;
process.env.PORT = String(chosen);
if (persist) process.env.YPERSISTENCE = persist;
await import('./node_modules/@y/websocket-server/src/server.js');
// It tells nobody when it listens.
for (;;) {
  const socket = connect(chosen, host);
  try {
    await once(socket, 'connect');
    socket.destroy();
    break;
  } catch {
    await setTimeout(10);
  }
}
listening(chosen);

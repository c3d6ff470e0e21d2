// ShareDB with rich text, over WebSockets, in memory. Each path is a document, which is made when somebody comes.
import { createServer } from 'node:http';
import WebSocketJSONStream from '@teamwork/websocket-json-stream';
import richText from 'rich-text';
import ShareDB from 'sharedb';
import { WebSocketServer } from 'ws';
import { host, listening, persist, port } from './arguments.js';

if (persist) throw new Error('ShareDB stores documents in MongoDB or PostgreSQL, which this does not start');
ShareDB.types.register(richText.type);
const backend = new ShareDB();
const local = backend.connect();
const made = new Map();

function make(id) {
  let making = made.get(id);
  if (!making) {
    making = new Promise((resolve, reject) => {
      local.get('documents', id).create([], richText.type.uri, (error) => (error ? reject(error) : resolve()));
    });
    made.set(id, making);
  }
  return making;
}

const server = createServer();
new WebSocketServer({ server }).on('connection', async (socket, request) => {
  // Nothing is heard before the document is there.
  socket.pause();
  await make(request.url.slice(1));
  backend.listen(new WebSocketJSONStream(socket));
  socket.resume();
});
const chosen = await port();
server.listen(chosen, host, () => listening(chosen));

import { connect, createServer, type Socket } from 'node:net';

/** The network between a browser and a server, which a test can cut. */
export interface Line {
  /** Where a browser finds the server through this line. */
  url: string;
  /** Ends all connections and refuses new ones. */
  cut(): void;
  mend(): void;
  /** Whether WebSockets are refused. */
  blocksSockets: boolean;
  /** How many WebSockets to documents are open. */
  readonly openSockets: number;
  close(): Promise<void>;
}

/**
 * Opens a line to `port` on this machine.
 *
 * A browser's own offline switch does not end WebSockets that are open; a line that is cut does, in
 * the middle of whatever travels.
 */
export async function openLine(port: number): Promise<Line> {
  const sockets = new Set<Socket>();
  const upgraded = new Set<Socket>();
  let isCut = false;
  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // A peer that resets its end is what this line is for.
    socket.on('error', () => socket.destroy());
  };
  const proxy = createServer((near) => {
    track(near);
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(port, '127.0.0.1');
    track(far);
    near.on('data', (chunk: Buffer) => {
      if (/^upgrade: websocket/im.test(chunk.toString('latin1'))) {
        if (line.blocksSockets) {
          near.destroy();
          return;
        }
        if (chunk.toString('latin1').startsWith('GET /collab/')) upgraded.add(near);
        near.on('close', () => upgraded.delete(near));
      }
      far.write(chunk);
    });
    far.pipe(near);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const address = proxy.address();
  if (address === null || typeof address === 'string') throw new Error('the line has no port');

  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  const line: Line = {
    url: `http://127.0.0.1:${address.port}`,
    cut,
    mend: () => {
      isCut = false;
    },
    blocksSockets: false,
    get openSockets() {
      return upgraded.size;
    },
    close: () => {
      cut();
      return new Promise((resolve) => proxy.close(() => resolve()));
    },
  };
  return line;
}

/** A network that has something against WebSockets, and now and then against anything. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * What happens to WebSockets: they pass; are refused; get no answer; are opened, and then nothing passes;
 * or are cut after a while.
 */
export type Block = 'none' | 'refuse' | 'swallow' | 'mute' | 'cut';

const CUT_MS = 200;

export class Network {
  /** For connections to come. */
  block: Block = 'none';
  /** How many of the frames that are posted are answered to nobody, 0 to 1. */
  unanswered = 0;
  random = Math.random;
  /** How many WebSockets were asked for. */
  sockets = 0;
  private readonly open = new Set<Socket>();
  private readonly server: Server;

  private constructor(private readonly port: number) {
    this.server = createServer((near) => this.serve(near));
  }

  static async to(url: string): Promise<Network> {
    const network = new Network(Number(new URL(url).port));
    await new Promise<void>((resolve) => network.server.listen(0, '127.0.0.1', resolve));
    return network;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.open) socket.destroy();
  }

  close(): Promise<void> {
    this.cut();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  private serve(near: Socket): void {
    const far = connect(this.port, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.open.add(one);
      one.setNoDelay(true);
      one.on('error', () => one.destroy());
      one.on('close', () => {
        this.open.delete(one);
        other.destroy();
      });
    }
    let [deaf, muted, upgraded] = [false, false, false];
    near.on('data', (chunk: Buffer) => {
      const head = chunk.toString('latin1', 0, 2_000);
      if (/^upgrade: websocket/im.test(head)) {
        upgraded = true;
        this.sockets += 1;
        if (this.block === 'refuse') {
          near.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
          return;
        }
        if (this.block === 'swallow') return;
        if (this.block === 'mute') muted = true;
        if (this.block === 'cut') setTimeout(() => near.destroy(), CUT_MS);
        far.write(chunk);
        return;
      }
      if (muted) return;
      if (head.startsWith('POST') && head.includes('/messages?')) {
        deaf = this.random() < this.unanswered;
      }
      far.write(chunk);
    });
    far.on('data', (chunk: Buffer) => {
      if (deaf) near.destroy();
      // Of a WebSocket that passes nothing, the answer to its opening does.
      else if (!muted || upgraded) near.write(chunk);
      if (muted) upgraded = false;
    });
  }
}

/**
 * A connection where WebSockets are blocked: an event stream from the server, and a request for each
 * frame to it.
 *
 * Requests go one at a time, so what gathers meanwhile goes in one frame. Each has a number, and is sent
 * again until it is answered: the server hears it once.
 */
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { addressOf, type Carrier, CLOSE_BROKEN, type Ear, type Opening } from './carrier.js';
import type { ClientMessage } from './messages.js';

/** A frame takes no more messages when its JSON has this length, in UTF-16 units. */
const FRAME_JSON_MAX = 256 << 10;
const FRAME_MESSAGES_MAX = 1_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** How long a frame is sent again before the connection is given up. */
const REPEAT_MS = 30_000;
const REPEAT_FIRST_MS = 200;
const REPEAT_MOST_MS = 5_000;
/** A client that only listens shows that it lives. */
const LIFE_MS = 15_000;

const CLOSE_TOO_LARGE = 1009;
const CLOSE_UNAUTHENTICATED = 4401;

/** What became of a frame. */
type Fate = 'taken' | 'again' | { readonly code: number; readonly complaint?: string };

/** Opens a connection that is an event stream and requests. */
export function openEvents(opening: Opening, ear: Ear): Carrier {
  return new Events(opening, ear);
}

class Events implements Carrier {
  private readonly over = new AbortController();
  private readonly waiting: string[] = [];
  private connectionId: string | undefined;
  private token: string;
  private frame = 0;
  private sending = false;
  private sentAt = Date.now();

  constructor(
    private readonly opening: Opening,
    private readonly ear: Ear,
  ) {
    this.token = opening.token;
    // Not before its maker has it.
    queueMicrotask(() => void this.listen());
  }

  send(message: ClientMessage): void {
    if (message.type === 'auth') this.token = message.token;
    this.waiting.push(JSON.stringify(message));
    void this.flush();
  }

  close(): void {
    this.over.abort();
  }

  private end(code: number, complaint?: string): void {
    if (this.over.signal.aborted) return;
    this.close();
    this.ear.onEnd(code, complaint);
  }

  private async listen(): Promise<void> {
    const parser = createParser({ onEvent: (event) => this.hear(event) });
    try {
      const response = await fetch(this.address('events', this.opening), {
        headers: { ...this.authorization(), accept: 'text/event-stream' },
        cache: 'no-store',
        signal: this.over.signal,
      });
      const reader = response.ok ? response.body?.getReader() : undefined;
      const decoder = new TextDecoder();
      for (;;) {
        const chunk = await reader?.read();
        if (!chunk || chunk.done || this.over.signal.aborted) break;
        parser.feed(decoder.decode(chunk.value, { stream: true }));
        // The server says something every 10 s, and timers of a page that nobody looks at run late.
        if (Date.now() - this.sentAt >= LIFE_MS) this.send({ type: 'ping' });
      }
    } catch {
      // It broke, or is over.
    }
    this.end(CLOSE_BROKEN);
  }

  private hear({ event, data }: EventSourceMessage): void {
    if (this.over.signal.aborted) return;
    switch (event) {
      case undefined:
        this.ear.onFrame(data);
        break;
      case 'connection':
        this.connectionId = (JSON.parse(data) as { connectionId: string }).connectionId;
        void this.flush();
        break;
      case 'close':
        this.end((JSON.parse(data) as { code: number }).code);
        break;
    }
  }

  /** Sends what waits, frame by frame. */
  private async flush(): Promise<void> {
    if (this.sending || this.connectionId === undefined) return;
    this.sending = true;
    while (this.waiting.length > 0 && !this.over.signal.aborted) {
      this.frame += 1;
      await this.deliver(this.gather());
    }
    this.sending = false;
  }

  private gather(): string {
    let [count, length] = [0, 0];
    for (const message of this.waiting) {
      length += message.length;
      if (count > 0 && (length > FRAME_JSON_MAX || count === FRAME_MESSAGES_MAX)) break;
      count += 1;
    }
    const messages = this.waiting.splice(0, count);
    return count === 1 ? (messages[0] as string) : `[${messages.join()}]`;
  }

  /** Sends a frame until it is taken, or the connection is over. */
  private async deliver(frame: string): Promise<void> {
    const first = Date.now();
    for (let n = 0; !this.over.signal.aborted; n += 1) {
      this.sentAt = Date.now();
      const fate = await this.post(frame);
      if (fate === 'taken') return;
      if (fate !== 'again') {
        this.end(fate.code, fate.complaint);
        return;
      }
      if (Date.now() - first > REPEAT_MS) {
        this.end(CLOSE_BROKEN);
        return;
      }
      const ceiling = Math.min(REPEAT_FIRST_MS * 2 ** n, REPEAT_MOST_MS);
      await new Promise((resolve) => setTimeout(resolve, ceiling * (0.5 + Math.random() / 2)));
    }
  }

  private async post(body: string): Promise<Fate> {
    const address = this.address('messages');
    address.searchParams.set('connection', this.connectionId ?? '');
    address.searchParams.set('frame', String(this.frame));
    const limit = new AbortController();
    const stop = () => limit.abort();
    const timer = setTimeout(stop, REQUEST_TIMEOUT_MS);
    this.over.signal.addEventListener('abort', stop);
    try {
      const response = await fetch(address, {
        method: 'POST',
        headers: { ...this.authorization(), 'content-type': 'application/json' },
        body,
        signal: limit.signal,
      });
      const fate = fateOf(response.status);
      if (fate === 'taken' || fate === 'again') {
        await response.body?.cancel();
        return fate;
      }
      const complaint = await complaintOf(response);
      return complaint === undefined ? fate : { ...fate, complaint };
    } catch {
      return 'again';
    } finally {
      clearTimeout(timer);
      this.over.signal.removeEventListener('abort', stop);
    }
  }

  private address(
    what: 'events' | 'messages',
    opening?: Pick<Opening, 'clientId' | 'revision' | 'pending'>,
  ): URL {
    const path = `api/v1/documents/${this.opening.documentId}/${what}`;
    return addressOf(this.opening.url, path, opening);
  }

  private authorization(): { readonly authorization: string } {
    return { authorization: `Bearer ${this.token}` };
  }
}

/** Proxies have their own words for what is in the way, so only what is clear ends a connection. */
function fateOf(status: number): Fate {
  if (status >= 200 && status < 300) return 'taken';
  if (status === 408 || status === 429 || status >= 500) return 'again';
  if (status === 413) return { code: CLOSE_TOO_LARGE };
  if (status === 401) return { code: CLOSE_UNAUTHENTICATED };
  return { code: CLOSE_BROKEN };
}

async function complaintOf(response: Response): Promise<string | undefined> {
  try {
    const answer = (await response.json()) as { readonly error?: { readonly code?: string } };
    return answer.error?.code;
  } catch {
    return undefined;
  }
}

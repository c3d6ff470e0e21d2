/**
 * Which carrier to try next, from how the ones before ended. Pure, but for what it remembers of a
 * server, so that the next document need not find out anew.
 */
import { type CarrierName, CLOSE_BROKEN } from './carrier.js';

/** A connection that lasted this long was a good one. */
export const STABLE_MS = 5_000;
/** So often in a row may a carrier that has worked before fail. */
const FAILURES_MAX = 3;
/** The favourite is tried again after this, then after twice as long, and so on. */
const RETURN_FIRST_MS = 5_000;
const RETURN_MOST_MS = 600_000;
/** The favourite that lasts this long is trusted again. */
const TRUSTED_MS = 60_000;
const CLOSE_NO_STATUS = 1005;
const CLOSE_APPLICATION = 4000;

/** How a connection ended. */
export interface End {
  readonly code: number;
  /** The server was heard at all. */
  readonly heard: boolean;
  /** From its opening until the server was last heard. */
  readonly lastedMs: number;
}

export class Choice {
  private static readonly worked = new Map<string, CarrierName>();
  private at: number;
  private failures = 0;
  /** The carrier of the hour has worked, so a failure may be the server's. */
  private proven = false;
  /** How often in a row it may fail all the same. */
  private patience = FAILURES_MAX;
  private returnMs = RETURN_FIRST_MS;
  /** When the favourite is to be tried again. */
  private returnAt: number | undefined;

  /** `names` are the carriers that may be used, the favourite first; there is at least one. */
  constructor(
    private readonly url: string,
    private readonly names: readonly CarrierName[],
  ) {
    if (names.length === 0) throw new Error('there is nothing to connect with');
    this.at = Math.max(0, names.indexOf(Choice.worked.get(url) as CarrierName));
  }

  get current(): CarrierName {
    return this.names[this.at] as CarrierName;
  }

  /** Whether there is a carrier to turn to when the current one does not work. */
  get hasOther(): boolean {
    return this.names.length > 1;
  }

  /** The favourite, while another one is used. */
  get favourite(): CarrierName | undefined {
    return this.at > 0 ? this.names[0] : undefined;
  }

  /** The current carrier has brought word of the server. */
  works(): void {
    this.proven = true;
    Choice.worked.set(this.url, this.current);
  }

  /** The current carrier has ended. */
  ended({ code, heard, lastedMs }: End): void {
    if (this.at === 0 && lastedMs >= TRUSTED_MS) {
      this.returnMs = RETURN_FIRST_MS;
      this.patience = FAILURES_MAX;
    }
    const mute = !heard && code < CLOSE_APPLICATION;
    const broken = code === CLOSE_BROKEN || code === CLOSE_NO_STATUS;
    if (!mute && !(broken && lastedMs < STABLE_MS)) {
      this.failures = 0;
      return;
    }
    this.failures += 1;
    if ((mute && !this.proven) || this.failures >= this.patience) {
      this.turn(this.at + 1, FAILURES_MAX);
    }
  }

  /** How long from `now` until the favourite is to be tried again; reconnecting does not put it off. */
  returnInMs(now: number): number {
    if (this.returnAt === undefined) {
      this.returnAt = now + this.returnMs;
      this.returnMs = Math.min(2 * this.returnMs, RETURN_MOST_MS);
    }
    return Math.max(0, this.returnAt - now);
  }

  /** The favourite was tried. If it works it is in use from here on, but must not fail again. */
  tried(works: boolean): void {
    this.returnAt = undefined;
    if (works) this.turn(0, 1);
  }

  private turn(at: number, patience: number): void {
    this.at = at % this.names.length;
    this.patience = patience;
    this.failures = 0;
    this.proven = false;
    if (this.at === 0) this.returnAt = undefined;
  }
}

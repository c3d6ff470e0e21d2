/** Someone else who has the document open, in one tab or device. */
export interface Person {
  readonly sessionId: string;
  readonly userId: string;
  readonly name: string;
  /** A colour number of `personColor`. */
  readonly color: number;
  /** Where their caret is, in UTF-16 code units; missing while they have none. */
  readonly head?: number;
}

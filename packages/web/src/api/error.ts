/** What `fetch` could not bring home: there was no answer at all. Not one of the server's codes. */
export const NO_ANSWER = 'no_answer';

/** A request that failed, with one of the error codes of docs/protocol.md or [NO_ANSWER]. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly code: string,
    message: string,
    /** The HTTP status; 0 where there was no answer. */
    readonly status = 0,
    /** Finds the request in the server's log. */
    readonly requestId?: string,
  ) {
    super(message);
  }
}

/** Whether `error` is a failed request with this code. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof ApiError && codes.includes(error.code);
}

/** A sentence for the person in front of the screen. */
export function describe(error: unknown): string {
  if (!(error instanceof ApiError)) return 'Something went wrong in this page.';
  switch (error.code) {
    case NO_ANSWER:
      return 'The server cannot be reached. Check your connection and try again.';
    case 'unavailable':
      return 'The server is busy or restarting. Try again in a moment.';
    case 'forbidden':
      return 'You may read this document, but not do this.';
    case 'not_found':
      return 'It does not exist, or you no longer have access to it.';
    case 'invalid_credentials':
      return 'This e-mail and password do not belong to an account.';
    case 'email_taken':
      return 'There is already an account with this e-mail.';
    case 'internal':
      return `The server made a mistake. It is recorded there as ${error.requestId ?? 'unknown'}.`;
    default:
      return error.message;
  }
}

/** What `fetch` could not bring home: there was no answer at all. Not one of the server's codes. */
export const NO_ANSWER = 'no_answer';

/** What is known of a failed request besides its code. */
interface Circumstances {
  /** The HTTP status; 0 where there was no answer. */
  status?: number;
  /** Finds the request in the server's log. */
  requestId?: string;
  /** When it makes sense to try again, where the server said so. */
  retryAfterSeconds?: number;
}

/** A request that failed, with one of the error codes of docs/protocol.md or [NO_ANSWER]. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly requestId: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    readonly code: string,
    message: string,
    { status = 0, requestId, retryAfterSeconds }: Circumstances = {},
  ) {
    super(message);
    this.status = status;
    this.requestId = requestId;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Whether `error` is a failed request with this code. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof ApiError && codes.includes(error.code);
}

/** A sentence for the person in front of the screen, which says what to do. */
export function describe(error: unknown): string {
  if (!(error instanceof ApiError)) {
    return 'Something went wrong in this page. Load it anew and try again.';
  }
  switch (error.code) {
    case NO_ANSWER:
      return 'The server cannot be reached. Check your connection and try again.';
    case 'unavailable':
      return 'The server is busy or restarting. Try again in a moment.';
    case 'forbidden':
      return 'You are not allowed to do this. Ask the owner or an administrator.';
    case 'not_found':
      return 'It does not exist any more, or you no longer have access to it.';
    case 'invalid_credentials':
      return 'This e-mail and password do not belong to an account.';
    case 'email_taken':
      return 'There is already an account with this e-mail.';
    case 'account_disabled':
      return 'This account has been disabled. Ask an administrator of your organization.';
    case 'invalid_password':
      return 'This is not the password.';
    case 'password_required':
      return 'This link has a password by now. Load the page anew and enter it.';
    case 'link_full':
      return 'As many guests have come by this link as may. Sign in with an account to open it.';
    case 'sign_in_refused':
      return 'The sign-in took too long or was not confirmed. Begin anew.';
    case 'last_administrator':
      return 'An organization needs an administrator. Make somebody else one first.';
    case 'too_many_documents':
      return 'You have as many documents as you may. Delete some for good, in the trash too, and try again.';
    case 'too_large':
    case 'document_too_large':
      return 'This is larger than the server takes. Make it smaller and try again.';
    case 'export_in_progress':
      return `Your data is being put together already. Try again ${waitText(error.retryAfterSeconds)}.`;
    case 'too_many_attempts':
      return `Too many attempts. Try again ${waitText(error.retryAfterSeconds)}.`;
    case 'rate_limited':
      return `Too many requests. Try again ${waitText(error.retryAfterSeconds)}.`;
    case 'invalid_request':
      return MISLEADING.test(error.message)
        ? 'Some of these characters are invisible or turn the text around. Leave them out.'
        : asSentence(error.message);
    case 'internal':
      return `The server made a mistake. Try again; if it stays so, tell whoever runs the server: ${error.requestId ?? 'no number'}.`;
    default:
      return asSentence(error.message);
  }
}

/** What the server says of names and titles with characters that it does not take. */
const MISLEADING = /direction of text/;

/** The server's own words, which are a fragment: "the body is not JSON". */
export function asSentence(fragment: string): string {
  const text = fragment.charAt(0).toUpperCase() + fragment.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** How long to wait, in the largest unit that is not misleading. */
export function waitText(seconds: number | undefined): string {
  if (seconds === undefined) return 'in a while';
  const [count, unit] = seconds < 60 ? [seconds, 'second'] : [Math.ceil(seconds / 60), 'minute'];
  return `in ${count} ${unit}${count === 1 ? '' : 's'}`;
}

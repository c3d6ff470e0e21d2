import { ApiError, asSentence, describe, hasCode } from '../api/error';

/** The shortest and the longest password that the server takes, in characters. */
export const PASSWORD_LENGTH_MIN = 8;
export const PASSWORD_LENGTH_MAX = 128;

/** The longest name or title that can be typed, in UTF-16 code units. */
export const NAME_LENGTH_MAX = 200;

export function checkEmail(email: string): string | null {
  if (email.trim() === '') return 'Enter your e-mail address.';
  return /^\S+@\S+$/.test(email.trim()) ? null : 'This is not an e-mail address.';
}

export function checkNewPassword(password: string): string | null {
  const { length } = [...password];
  if (length < PASSWORD_LENGTH_MIN) return `Use at least ${PASSWORD_LENGTH_MIN} characters.`;
  return length > PASSWORD_LENGTH_MAX ? `Use at most ${PASSWORD_LENGTH_MAX} characters.` : null;
}

/** What is wrong with a form: a sentence, and the field that it is about, where it is about one. */
export interface Fault {
  field?: string;
  text: string;
}

/** Something is wrong with what was entered in a field. */
export class FieldError extends Error {
  override readonly name = 'FieldError';

  /** `text` is a sentence for the person who entered it. */
  constructor(
    readonly field: string,
    readonly text: string,
  ) {
    super(text);
  }
}

/** What the server did not like. */
export function faultOf(error: unknown): Fault {
  if (error instanceof FieldError) return error;
  const text = describe(error);
  if (!(error instanceof ApiError)) return { text };
  switch (error.code) {
    case 'email_taken':
      return { field: 'email', text };
    case 'invalid_credentials':
    case 'invalid_password':
      return { field: 'password', text };
    case 'forbidden':
      // Registration is closed: the message says who can help.
      return { text: asSentence(error.message) };
    case 'invalid_request': {
      const field = /^(?:a )?(password|email|name)\b/.exec(error.message)?.[1];
      return field ? { field, text } : { text };
    }
    default:
      return { text };
  }
}

/** Fails with what `error` means where only a password was asked for, of whoever is signed in. */
export function asWrongPassword(error: unknown): never {
  if (!hasCode(error, 'invalid_credentials', 'invalid_password')) throw error;
  throw new FieldError('password', 'This is not the password.');
}

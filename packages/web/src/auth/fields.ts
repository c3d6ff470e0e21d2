import { ApiError, describe } from '../api/error';

/** The shortest password that the server takes, in characters. */
export const PASSWORD_LENGTH_MIN = 8;

export function checkEmail(email: string): string | null {
  if (email.trim() === '') return 'Enter your e-mail address.';
  return /^\S+@\S+$/.test(email.trim()) ? null : 'This is not an e-mail address.';
}

/** What the server did not like, at the field that it is about; `form` where it is about none. */
export function fieldErrors(error: unknown): Record<string, string> {
  const text = describe(error);
  if (!(error instanceof ApiError)) return { form: text };
  if (error.code === 'email_taken') return { email: text };
  if (error.code === 'invalid_credentials') return { password: text };
  // Registration is closed: the message says who can help.
  if (error.code === 'forbidden') return { form: error.message };
  if (error.code === 'invalid_request') {
    if (/password/i.test(error.message)) return { password: text };
    if (/e-?mail/i.test(error.message)) return { email: text };
    if (/\bname\b/i.test(error.message)) return { name: text };
  }
  return { form: text };
}

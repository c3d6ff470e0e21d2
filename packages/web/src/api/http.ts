import { ApiError, NO_ANSWER } from './error';

/** What a request may carry besides its path. */
export interface RequestOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** A [Blob] is sent as it is, anything else as JSON. */
  body?: unknown;
  /** An access token. */
  token?: string;
  signal?: AbortSignal;
}

/** An answer's body, and the server's time when it was made. */
export interface Answer<T> {
  body: T;
  serverTimeMs: number | undefined;
}

/**
 * Sends one request to `/api/v1/{path}`. `T` is what docs/protocol.md says of that path; an answer
 * without a body gives `undefined`.
 *
 * Throws an [ApiError] for every failure except an abort by `signal`, which keeps its own error.
 */
export async function send<T>(path: string, options: RequestOptions = {}): Promise<Answer<T>> {
  const { method = 'GET', body, token, signal } = options;
  const headers = new Headers({ accept: 'application/json' });
  const isBlob = body instanceof Blob;
  if (body !== undefined) headers.set('content-type', isBlob ? body.type : 'application/json');
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`);

  let response: Response;
  let text: string;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: isBlob ? body : JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(NO_ANSWER, 'The server cannot be reached.');
  }
  if (!response.ok) throw errorFrom(response, text);

  const date = Date.parse(response.headers.get('date') ?? '');
  return {
    body: (text === '' ? undefined : parse(text)) as T,
    serverTimeMs: Number.isNaN(date) ? undefined : date,
  };
}

function errorFrom({ status, headers }: Response, text: string): ApiError {
  const body = parse(text) as { error?: Partial<Record<string, unknown>> } | undefined;
  const error = body?.error;
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  const retryAfter = Number.isFinite(seconds) ? { retryAfterSeconds: seconds } : {};
  if (typeof error?.code === 'string' && typeof error.message === 'string') {
    const requestId = typeof error.requestId === 'string' ? { requestId: error.requestId } : {};
    return new ApiError(error.code, error.message, { status, ...requestId, ...retryAfter });
  }
  // A proxy in between answered, not Motet.
  const code = status >= 502 && status <= 504 ? 'unavailable' : 'internal';
  const message = `The server answered with status ${status}.`;
  return new ApiError(code, message, { status, ...retryAfter });
}

/** The JSON value of `text`, or `undefined` where it is none. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

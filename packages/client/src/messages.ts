/** What travels between client and server: docs/protocol.md of the project. */

import type { Attributes } from './attributes.js';
import type { Delta, Op } from './delta.js';

export type Role = 'owner' | 'editor' | 'commenter' | 'viewer';

/** A cursor from `anchor` to `head`, where the caret blinks. UTF-16 units. */
export interface Selection {
  readonly anchor: number;
  readonly head: number;
}

/** What others see of a session. */
export interface Presence {
  readonly sessionId: string;
  /** Stands for the session in `operations` and in `moved`. */
  readonly number?: number;
  readonly userId: string;
  readonly name: string;
  /** 0 to 15. */
  readonly color: number;
  readonly anchor?: number;
  readonly head?: number;
  readonly data?: Attributes;
}

interface Wire {
  readonly ops: Delta;
}

/**
 * A change of `operations`: the number of its session, or the id of a user; the number that its client gave it; and
 * its operations, where a text is inserted, a number retained, a negative number deleted, and an object is one of a delta.
 */
export type BatchedChange = readonly [
  author: number | string,
  seq: number,
  ...ops: (number | string | Op)[],
];

/** Where a session points now: its number, anchor and head; a caret is one place, and no cursor none. */
export type Move = readonly [number: number, anchor?: number, head?: number];

export type ClientMessage =
  | { readonly type: 'auth'; readonly token: string }
  | {
      readonly type: 'edit_operation';
      readonly seq: number;
      readonly revision: number;
      readonly operation: Wire;
    }
  | {
      readonly type: 'selection_update';
      readonly anchor?: number;
      readonly head?: number;
      readonly revision: number;
    }
  | { readonly type: 'presence_update'; readonly data: Attributes | null }
  | { readonly type: 'ping' };

export type ServerMessage =
  | {
      readonly type: 'document_state';
      readonly revision: number;
      readonly content?: Wire;
      readonly sessionId: string;
      readonly number?: number;
      readonly lastSeq: number;
      readonly role: Role;
      readonly color: number;
      readonly presence: readonly Presence[];
    }
  | { readonly type: 'ack'; readonly seq: number; readonly revision: number }
  | {
      readonly type: 'operation';
      readonly revision: number;
      readonly userId: string;
      readonly sessionId?: string;
      readonly operation: Wire;
    }
  | {
      readonly type: 'operations';
      /** Of the first. */
      readonly revision: number;
      readonly changes: readonly BatchedChange[];
    }
  | {
      readonly type: 'reconciled';
      readonly seq: number;
      readonly revision: number;
      readonly operation: Wire;
    }
  | {
      readonly type: 'presence_update';
      readonly joined?: readonly Presence[];
      readonly updated?: readonly Presence[];
      readonly moved?: readonly Move[];
      readonly left?: readonly string[];
      readonly reset?: boolean;
    }
  | { readonly type: 'permission_changed'; readonly role: Role }
  | { readonly type: 'authenticated'; readonly userId: string; readonly expiresAt: string }
  | { readonly type: 'left_document' }
  | { readonly type: 'pong' }
  | {
      readonly type: 'error';
      readonly code: string;
      readonly message: string;
      readonly seq?: number;
    };

// The bodies of docs/protocol.md, section HTTP. Times are RFC 3339 in UTC.

export type Role = 'owner' | 'editor' | 'viewer';

/** A role that the owner can give to others. */
export type GrantRole = Exclude<Role, 'owner'>;

export interface Tokens {
  userId: string;
  /** The access token: short-lived, sent with every request. */
  token: string;
  refreshToken: string;
  /** When `token` ends. */
  expiresAt: string;
}

export interface Profile {
  userId: string;
  email: string;
  name: string;
}

export interface DocumentSummary {
  documentId: string;
  title: string;
  role: Role;
  ownerId: string;
  ownerName: string;
  createdAt: string;
  updatedAt: string;
}

export interface DocumentPage {
  documents: DocumentSummary[];
  nextCursor?: string | null;
}

export interface Grant {
  userId: string;
  email: string;
  name: string;
  role: Role;
}

// The bodies of docs/protocol.md, section HTTP. Times are RFC 3339 in UTC.

export type Role = 'owner' | 'editor' | 'commenter' | 'viewer';

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

/** Somebody, as others in their organization see them. */
export interface Profile {
  userId: string;
  name: string;
  /** A colour number of `personColor`, if they chose one. */
  color: number | null;
  avatarUrl: string | null;
}

/** The signed-in user. */
export interface Me extends Profile {
  /** Null for guests. */
  email: string | null;
  /** A guest came by a share link and has no account of their own. */
  kind: 'member' | 'guest';
  administrator: boolean;
  organizationId: string;
  organizationName: string;
  /** Missing for those who sign in elsewhere only. */
  hasPassword: boolean;
}

/** Where people can sign in besides here. */
export interface Providers {
  providers: Array<{ providerId: string; name: string }>;
  /** Whether people may make accounts for themselves. */
  registration: boolean;
}

export type Scope = 'read' | 'write' | 'manage' | 'account';

export interface ApiKey {
  apiKeyId: string;
  name: string;
  scopes: Scope[];
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
}

/** A part of a text that was found, and whether it is what was looked for. */
export interface SnippetPart {
  text: string;
  match: boolean;
}

export interface DocumentSummary {
  documentId: string;
  title: string;
  role: Role;
  ownerId: string;
  ownerName: string;
  /** What everyone in the organization may do. */
  organizationRole: GrantRole | null;
  createdAt: string;
  updatedAt: string;
  /** When it was put into the trash. */
  deletedAt?: string | null;
  /** Where a search found it, if in its text. */
  snippet?: SnippetPart[] | null;
}

export interface DocumentPage {
  documents: DocumentSummary[];
  nextCursor?: string | null;
  /** In the trash: after how many days documents are deleted for good; `null`: never. */
  trashDays?: number | null;
}

export interface Grant {
  userId: string;
  email: string | null;
  name: string;
  avatarUrl: string | null;
  role: Role;
  /** How they came to it. */
  via: 'owner' | 'grant' | 'link';
}

export interface GroupGrant {
  groupId: string;
  name: string;
  role: GrantRole;
}

export interface Grants {
  grants: Grant[];
  groups: GroupGrant[];
  /** Whom the owner has taken out: the links that were there then do not let them in again. */
  removed: Array<Pick<Grant, 'userId' | 'name' | 'avatarUrl'>>;
}

export interface ShareLink {
  linkId: string;
  token: string;
  role: GrantRole;
  hasPassword: boolean;
  expiresAt: string | null;
  createdAt: string;
}

/** What a share link says of itself to whoever has it. */
export interface LinkPreview {
  role: GrantRole;
  passwordRequired: boolean;
  /** Null while a password is required. */
  title: string | null;
}

export interface LinkOpened {
  documentId: string;
  role: Role;
  /** The account that was made for somebody who has none. */
  guest: Tokens | null;
}

/** Somebody who belongs to a group. */
export type Member = Omit<Profile, 'color'>;

export interface PersonGroup {
  groupId: string;
  name: string;
  /** How many belong to it. */
  members: number;
}

export interface AdminUser extends Omit<Profile, 'color'> {
  email: string | null;
  kind: 'member' | 'guest' | 'erased';
  administrator: boolean;
  disabled: boolean;
  createdAt: string;
  lastSeenAt: string | null;
}

export interface AdminUserPage {
  users: AdminUser[];
  nextCursor?: string | null;
}

/** A live session of a document. */
export interface LiveSession {
  sessionId: string;
  userId: string;
  name: string;
  documentId: string;
  /** Null where the document is gone meanwhile. */
  documentTitle: string | null;
  dialect: string;
  role: Role;
  address: string;
  since: string;
}

export interface Limit {
  name: string;
  /** 0 where nothing is limited. */
  value: number;
  unit: string;
}

export interface AuditEntry {
  seq: number;
  at: string;
  actorId: string | null;
  actorName: string | null;
  action: string;
  documentId: string | null;
  documentTitle: string | null;
  userId: string | null;
  userName: string | null;
  details: Readonly<Record<string, unknown>> | null;
  address: string | null;
}

export interface AuditPage {
  entries: AuditEntry[];
  nextCursor?: string | null;
}

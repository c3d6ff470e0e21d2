import type { GrantRole, Role } from '../api/types';

/** The roles that can be given, as the choices of a list. */
export const GRANT_ROLES: ReadonlyArray<{ value: GrantRole; label: string }> = [
  { value: 'editor', label: 'Can edit' },
  { value: 'commenter', label: 'Can comment' },
  { value: 'viewer', label: 'Can view' },
];

/** What somebody with this role may do, within a sentence: "… may edit it". */
export const ROLE_VERBS: Record<Role, string> = {
  owner: 'do everything with',
  editor: 'edit',
  commenter: 'comment on',
  viewer: 'view',
};

/** Whether this role may write. An unknown role may, until the server says otherwise. */
export function mayEdit(role: Role | undefined): boolean {
  return role !== 'viewer' && role !== 'commenter';
}

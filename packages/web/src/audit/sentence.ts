import type { AuditEntry } from '../api/types';
import { ROLE_VERBS } from '../components/roles';

/** A document or person that the trail can be searched for. */
export type Subject = { documentId: string } | { userId: string };

/** A piece of a sentence; `strong` is a name of something. */
export type Part = string | { strong: string; subject?: Subject };

/**
 * What an entry tells, to be read after the name of whoever did it: "renamed “Motets”". Actions that this
 * page does not know, from a newer server, are given as they are.
 */
export function sentence(entry: AuditEntry): Part[] {
  const say = SAY.get(entry.action);
  return say ? say(subjects(entry)) : [`did ${entry.action}`];
}

/** Who did it. */
export function actorOf({ action, actorId, actorName }: AuditEntry): string {
  if (actorName) return actorName;
  // Erased accounts have no name left.
  if (actorId) return 'Someone who has left';
  return action === 'account.sign_in_failed' || action === 'link.failed'
    ? 'Somebody'
    : 'The server';
}

/** What sentences speak of. */
interface Subjects {
  document: Part;
  person: Part;
  /** "edit", "view"; empty where no role is told. */
  verb: string;
  details: Readonly<Record<string, unknown>>;
  /** Whether somebody did it to themselves. */
  own: boolean;
}

/** What an action is called in a list of choices, and how its entries are told. */
type Telling = readonly [label: string, say: (subjects: Subjects) => Part[]];

/** Every action, in the groups of the list of choices. */
const GROUPS: Readonly<Record<string, Readonly<Record<string, Telling>>>> = {
  Accounts: {
    'account.registered': ['Registered', () => ['made an account']],
    'account.created': ['Account created', ({ person }) => ['made an account for ', person]],
    'account.provisioned': [
      'Account provisioned',
      ({ person }) => ['made an account for ', person, ' at their first sign-in'],
    ],
    'account.signed_in': ['Signed in', () => ['signed in']],
    'account.sign_in_failed': ['Sign-in failed', ({ person }) => ['failed to sign in as ', person]],
    'account.password_refused': [
      'Wrong password',
      () => ['gave a wrong password for their account'],
    ],
    'account.signed_out': ['Signed out', () => ['signed out']],
    'account.refresh_reused': [
      'Refresh token reused',
      ({ own, person }) =>
        own
          ? ['was signed out: a refresh token was used twice']
          : ['signed out ', person, ': a refresh token was used twice'],
    ],
    'account.password_changed': [
      'Password changed',
      ({ own, person }) =>
        own ? ['changed their password'] : ['changed the password of ', person],
    ],
    'account.profile_changed': [
      'Profile changed',
      ({ own, person }) => (own ? ['changed their profile'] : ['changed the profile of ', person]),
    ],
    'account.disabled': ['Account disabled', ({ person }) => ['disabled the account of ', person]],
    'account.enabled': ['Account enabled', ({ person }) => ['enabled the account of ', person]],
    'account.administrator_made': [
      'Made administrator',
      ({ person }) => ['made ', person, ' an administrator'],
    ],
    'account.administrator_unmade': [
      'No longer administrator',
      ({ person }) => ['took the administrator’s rights from ', person],
    ],
    'account.exported': [
      'Data exported',
      ({ own, person }) => (own ? ['exported their data'] : ['exported the data of ', person]),
    ],
    'account.erasure_begun': [
      'Erasure begun',
      ({ own, person }) =>
        own ? ['began to erase their account'] : ['began to erase the account of ', person],
    ],
    'account.erased': [
      'Account erased',
      ({ own, person }) => (own ? ['erased their account'] : ['erased the account of ', person]),
    ],
    'api_key.created': ['API key created', () => ['created an API key']],
    'api_key.revoked': [
      'API key revoked',
      ({ own, person }) => (own ? ['revoked an API key'] : ['revoked an API key of ', person]),
    ],
  },
  Documents: {
    'document.created': ['Created', ({ document }) => ['created ', document]],
    'document.read': ['Read', ({ document }) => ['read ', document]],
    'document.opened': ['Opened', ({ document }) => ['opened ', document]],
    'document.refused': [
      'Refused',
      ({ document, details }) =>
        details.act === undefined || details.act === 'read'
          ? ['was not let into ', document]
          : ['was not allowed to do something with ', document],
    ],
    'document.closed': [
      'Closed',
      ({ document, details }) => ['closed ', document, changesText(details)],
    ],
    'document.edited': ['Edited', ({ document }) => ['edited ', document]],
    'document.renamed': ['Renamed', ({ document }) => ['renamed ', document]],
    'document.trashed': [
      'Moved to the trash',
      ({ document }) => ['moved ', document, ' to the trash'],
    ],
    'document.restored': ['Restored', ({ document }) => ['restored ', document]],
    'document.deleted': ['Deleted for good', ({ document }) => ['deleted ', document, ' for good']],
    'document.transferred': [
      'Transferred',
      ({ document, person }) => ['gave ', document, ' to ', person],
    ],
    'document.shared': [
      'Shared',
      ({ document, person, verb, details }) => [
        'let ',
        'group' in details ? 'a group' : person,
        ` ${verb || 'open'} `,
        document,
      ],
    ],
    'document.unshared': [
      'No longer shared',
      ({ document, person, own, details }) => {
        if ('group' in details) return ['stopped sharing ', document, ' with a group'];
        return own ? ['left ', document] : ['stopped sharing ', document, ' with ', person];
      },
    ],
    'document.organization_role_changed': [
      'Opened to the organization',
      ({ document, verb }) =>
        verb === ''
          ? ['closed ', document, ' to the organization']
          : ['let everyone in the organization ', `${verb} `, document],
    ],
    'link.created': [
      'Link created',
      ({ document, verb }) => [
        'created a link to ',
        ...(verb === '' ? [document] : [`${verb} `, document]),
      ],
    ],
    'link.revoked': ['Link revoked', ({ document }) => ['revoked a link to ', document]],
    'link.opened': [
      'Link opened',
      ({ document, details }) => [
        'opened a link to ',
        document,
        details.guest === true ? ' as a guest' : '',
      ],
    ],
    'link.failed': [
      'Wrong link password',
      ({ document }) => ['gave a wrong password for a link to ', document],
    ],
  },
  Organization: {
    'organization.created': ['Organization created', () => ['created the organization']],
    'organization.renamed': ['Organization renamed', () => ['renamed the organization']],
    'group.created': ['Group created', () => ['created a group']],
    'group.renamed': ['Group renamed', () => ['renamed a group']],
    'group.deleted': ['Group deleted', () => ['deleted a group']],
    'group.joined': ['Added to a group', ({ person }) => ['added ', person, ' to a group']],
    'group.left': ['Removed from a group', ({ person }) => ['removed ', person, ' from a group']],
    'session.ended': [
      'Session ended',
      ({ person, document }) => ['ended a session of ', person, ' in ', document],
    ],
    'key.rotated': ['Signing key rotated', () => ['began to use a new signing key']],
    'key.removed': ['Signing key removed', () => ['removed a signing key']],
  },
};

const SAY = new Map(
  Object.values(GROUPS)
    .flatMap((actions) => Object.entries(actions))
    .map(([action, [, say]]) => [action, say]),
);

/** The actions that can be looked for, in groups, as the choices of a list. */
export const ACTIONS = Object.entries(GROUPS).map(([group, actions]) => ({
  group,
  items: Object.entries(actions).map(([value, [label]]) => ({ value, label })),
}));

function subjects(entry: AuditEntry): Subjects {
  const { actorId, userId, userName, documentId, documentTitle, details } = entry;
  const role = details?.role;
  return {
    document:
      documentId && documentTitle !== null
        ? { strong: documentTitle, subject: { documentId } }
        : 'a document',
    person: userId && userName ? { strong: userName, subject: { userId } } : 'someone',
    verb: isRole(role) ? ROLE_VERBS[role] : '',
    details: details ?? {},
    own: userId === null || userId === actorId,
  };
}

function isRole(role: unknown): role is keyof typeof ROLE_VERBS {
  return typeof role === 'string' && role in ROLE_VERBS;
}

function changesText({ changes }: Subjects['details']): string {
  if (typeof changes !== 'number' || changes === 0) return '';
  return ` after ${changes} ${changes === 1 ? 'change' : 'changes'}`;
}

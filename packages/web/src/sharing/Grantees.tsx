import { ActionIcon, Alert, Avatar, Group, Select, Skeleton, Text } from '@mantine/core';
import { IconUsersGroup, IconX } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { describe } from '../api/error';
import type { Grant, GrantRole, GroupGrant, Role } from '../api/types';
import { useUserId } from '../auth/SessionProvider';
import { PersonAvatar } from '../components/PersonAvatar';
import { QueryFailure } from '../components/QueryFailure';
import { GRANT_ROLES } from '../components/roles';
import { type Grantee, useAddGrant, useGrants, useRemoveGrant } from './queries';
import classes from './ShareDialog.module.css';

/** The people and groups who may open the document. */
export function Grantees({ documentId }: { documentId: string }) {
  const userId = useUserId();
  const grants = useGrants(documentId);
  if (grants.isPending) return <Skeleton h={44} />;
  if (!grants.data) {
    return <QueryFailure query={grants} what="The list of people" />;
  }
  const { grants: people, groups, removed } = grants.data;
  return (
    <>
      <ul className={classes.people} aria-label="People with access">
        {people.map((person) => (
          <GranteeRow
            key={person.userId}
            documentId={documentId}
            icon={<PersonAvatar name={person.name} avatarUrl={person.avatarUrl} size={34} />}
            name={person.name}
            isUser={person.userId === userId}
            about={aboutPerson(person)}
            role={person.role}
            granteeId={person.userId}
            grantee={{ userId: person.userId }}
          />
        ))}
        {groups.map((group) => (
          <GranteeRow
            key={group.groupId}
            documentId={documentId}
            icon={<GroupDisc />}
            name={group.name}
            about="Group"
            role={group.role}
            granteeId={group.groupId}
            grantee={groupGrantee(group)}
          />
        ))}
      </ul>
      {removed.length > 0 && (
        <Text size="xs" c="dimmed">
          Links that were there do not let in again whom you removed:{' '}
          {LIST.format(removed.map(({ name }) => name))}. New ones do.
        </Text>
      )}
    </>
  );
}

const LIST = new Intl.ListFormat('en');

const groupGrantee = ({ groupId }: GroupGrant): Grantee => ({ groupId });

/** Of those who came by themselves the owner knows the name that they gave, and no address. */
function aboutPerson({ email, via }: Grant): string {
  return via === 'link' ? 'Came by a link' : (email ?? 'Guest');
}

function GroupDisc() {
  return (
    <Avatar size={34} radius="xl" color="lapis" aria-hidden>
      <IconUsersGroup size={19} stroke={1.7} />
    </Avatar>
  );
}

interface GranteeRowProps {
  documentId: string;
  icon: ReactNode;
  name: string;
  /** Whether it is the one who looks. */
  isUser?: boolean;
  about: string;
  role: Role;
  granteeId: string;
  grantee: Grantee;
}

function GranteeRow(props: GranteeRowProps) {
  const { documentId, icon, name, isUser = false, about, role, granteeId, grantee } = props;
  const change = useAddGrant(documentId);
  const remove = useRemoveGrant(documentId);
  const error = change.error ?? remove.error;
  return (
    <li>
      <Group gap="xs">
        {icon}
        <div className={classes.name}>
          <Text fw={600} size="sm" lineClamp={2}>
            {name}
            {isUser && ' (you)'}
          </Text>
          <Text size="xs" c="dimmed" truncate>
            {about}
          </Text>
        </div>
        {role === 'owner' ? (
          <Text size="sm" c="dimmed" pr="xs">
            Owner
          </Text>
        ) : (
          <div className={classes.controls}>
            <Select
              aria-label={`Role of ${name}`}
              data={[...GRANT_ROLES]}
              value={change.isPending ? change.variables.role : role}
              onChange={(value) => change.mutate({ ...grantee, role: value as GrantRole })}
              allowDeselect={false}
              size="xs"
              w={128}
              flex="none"
            />
            <ActionIcon
              aria-label={`Remove ${name}`}
              title={`Remove ${name}`}
              loading={remove.isPending}
              onClick={() => remove.mutate(granteeId)}
            >
              <IconX size={18} />
            </ActionIcon>
          </div>
        )}
      </Group>
      {error && (
        <Alert color="red" mt="xs" p="xs">
          {describe(error)}
        </Alert>
      )}
    </li>
  );
}

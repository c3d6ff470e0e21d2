import { Button, Flex, Menu, Stack } from '@mantine/core';
import { IconPlus, IconShield, IconUserOff } from '@tabler/icons-react';
import { useState } from 'react';
import type { AdminUser } from '../api/types';
import { useUserId } from '../auth/SessionProvider';
import { LoadMore } from '../components/LoadMore';
import { notifyFailure } from '../components/notify';
import { Panel } from '../components/Panel';
import { PersonAvatar } from '../components/PersonAvatar';
import { RelativeTime } from '../components/RelativeTime';
import { RowMenu } from '../components/RowMenu';
import { Row, Rows, Tag } from '../components/Rows';
import { SearchField, useSearch } from '../components/SearchField';
import { DisableDialog } from './DisableDialog';
import { NewUserDialog } from './NewUserDialog';
import { useChangeUser, useUsers } from './queries';

/** The accounts of the organization. */
export function Users() {
  const search = useSearch();
  const users = useUsers(search.settled);
  const [isNew, setNew] = useState(false);
  const [disabling, setDisabling] = useState<AdminUser>();
  return (
    <Stack>
      <Flex direction={{ base: 'column', xs: 'row' }} gap="sm">
        <SearchField label="Search people" placeholder="Search names and e-mails" search={search} />
        <Button flex="none" leftSection={<IconPlus size={18} />} onClick={() => setNew(true)}>
          New account
        </Button>
      </Flex>
      <Panel query={users} what="The people" empty={`Nobody fits “${search.settled}”.`}>
        <Rows label="People">
          {users.data?.map((user) => (
            <UserRow key={user.userId} user={user} onDisable={() => setDisabling(user)} />
          ))}
        </Rows>
        <LoadMore list={users} />
      </Panel>
      {isNew && <NewUserDialog onClose={() => setNew(false)} />}
      {disabling && <DisableDialog user={disabling} onClose={() => setDisabling(undefined)} />}
    </Stack>
  );
}

function UserRow({ user, onDisable }: { user: AdminUser; onDisable: () => void }) {
  const { name, email, avatarUrl, kind, administrator, disabled, lastSeenAt } = user;
  const isUser = user.userId === useUserId();
  return (
    <Row
      icon={<PersonAvatar name={name} avatarUrl={avatarUrl} size={34} />}
      title={isUser ? `${name} (you)` : name}
      tags={
        <>
          {administrator && <Tag>Administrator</Tag>}
          {kind === 'guest' && <Tag color="gray">Guest</Tag>}
          {kind === 'erased' && <Tag color="gray">Erased</Tag>}
          {disabled && <Tag color="red">Disabled</Tag>}
        </>
      }
      subtitle={email}
      meta={
        lastSeenAt === null ? (
          'Never seen'
        ) : (
          <>
            Seen <RelativeTime time={lastSeenAt} />
          </>
        )
      }
      actions={kind !== 'erased' && !isUser && <UserActions user={user} onDisable={onDisable} />}
    />
  );
}

function UserActions({ user, onDisable }: { user: AdminUser; onDisable: () => void }) {
  const { userId, name, kind, administrator, disabled } = user;
  const change = useChangeUser(userId);
  const set = (to: Parameters<typeof change.mutate>[0]) =>
    change.mutate(to, {
      onError: (error) => notifyFailure('The account could not be changed', error),
    });
  return (
    <RowMenu of={name} pending={change.isPending}>
      {kind === 'member' && (
        <Menu.Item
          leftSection={<IconShield size={18} />}
          onClick={() => set({ administrator: !administrator })}
        >
          {administrator ? 'Take administrator’s rights' : 'Make administrator'}
        </Menu.Item>
      )}
      <Menu.Item
        leftSection={<IconUserOff size={18} />}
        c={disabled ? 'inherit' : 'var(--mantine-color-error)'}
        onClick={() => (disabled ? set({ disabled: false }) : onDisable())}
      >
        {disabled ? 'Enable' : 'Disable'}
      </Menu.Item>
    </RowMenu>
  );
}

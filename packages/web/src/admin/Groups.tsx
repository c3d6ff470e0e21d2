import { Button, Flex, Menu, Stack, TextInput } from '@mantine/core';
import { IconPencil, IconPlus, IconTrash, IconUsers, IconUsersGroup } from '@tabler/icons-react';
import { useState } from 'react';
import type { PersonGroup } from '../api/types';
import { Panel } from '../components/Panel';
import { RowMenu } from '../components/RowMenu';
import { Row, Rows } from '../components/Rows';
import { Form } from '../forms/Form';
import { NAME_LENGTH_MAX } from '../forms/fields';
import { useSubmitForm } from '../forms/useSubmitForm';
import { useGroups } from '../sharing/queries';
import { DeleteGroupDialog, MembersDialog, RenameGroupDialog } from './GroupDialogs';
import { useChangeGroups } from './queries';

type Dialog = { kind: 'members' | 'rename' | 'delete'; groupId: string };

/** Groups of people with whom documents can be shared at once. */
export function Groups() {
  const groups = useGroups();
  const [dialog, setDialog] = useState<Dialog>();
  const close = () => setDialog(undefined);
  const group = groups.data?.find(({ groupId }) => groupId === dialog?.groupId);
  return (
    <Stack>
      <NewGroup />
      <Panel
        query={groups}
        what="The groups"
        empty="There are no groups yet. Documents can be shared with a whole group."
      >
        <Rows label="Groups">
          {groups.data?.map((one) => (
            <GroupRow
              key={one.groupId}
              group={one}
              onOpen={(kind) => setDialog({ kind, groupId: one.groupId })}
            />
          ))}
        </Rows>
      </Panel>
      {group && dialog?.kind === 'members' && <MembersDialog group={group} onClose={close} />}
      {group && dialog?.kind === 'rename' && <RenameGroupDialog group={group} onClose={close} />}
      {group && dialog?.kind === 'delete' && <DeleteGroupDialog group={group} onClose={close} />}
    </Stack>
  );
}

function NewGroup() {
  const create = useChangeGroups();
  const form = useSubmitForm({
    initialValues: { name: '' },
    action: async ({ name }) => {
      await create.mutateAsync({ kind: 'create', name: name.trim() });
      form.reset();
    },
  });
  return (
    <Form form={form}>
      <Flex gap="sm" align="flex-start">
        <TextInput
          {...form.getInputProps('name')}
          aria-label="Name of the new group"
          placeholder="Name of a new group"
          flex={1}
          maxLength={NAME_LENGTH_MAX}
        />
        <Button
          type="submit"
          flex="none"
          leftSection={<IconPlus size={18} />}
          loading={form.submitting}
          disabled={form.values.name.trim() === ''}
        >
          New group
        </Button>
      </Flex>
    </Form>
  );
}

interface GroupRowProps {
  group: PersonGroup;
  onOpen: (kind: Dialog['kind']) => void;
}

function GroupRow({ group: { name, members }, onOpen }: GroupRowProps) {
  return (
    <Row
      icon={<IconUsersGroup size={24} stroke={1.6} aria-hidden />}
      title={name}
      subtitle={members === 1 ? '1 member' : `${members} members`}
      actions={
        <>
          <Button
            size="xs"
            variant="light"
            leftSection={<IconUsers size={16} />}
            onClick={() => onOpen('members')}
            aria-label={`Members of ${name}`}
          >
            Members
          </Button>
          <RowMenu of={name}>
            <Menu.Item leftSection={<IconPencil size={18} />} onClick={() => onOpen('rename')}>
              Rename
            </Menu.Item>
            <Menu.Item
              leftSection={<IconTrash size={18} />}
              c="var(--mantine-color-error)"
              onClick={() => onOpen('delete')}
            >
              Delete
            </Menu.Item>
          </RowMenu>
        </>
      }
    />
  );
}

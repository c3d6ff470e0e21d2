import { ActionIcon, Alert, Stack } from '@mantine/core';
import { IconX } from '@tabler/icons-react';
import { describe } from '../api/error';
import type { PersonGroup } from '../api/types';
import { Dialog } from '../components/Dialog';
import { Panel } from '../components/Panel';
import { PersonAvatar } from '../components/PersonAvatar';
import { Row, Rows } from '../components/Rows';
import { ConfirmDialog } from '../forms/ConfirmDialog';
import { RenameDialog } from '../forms/RenameDialog';
import { PersonSelect } from './PersonSelect';
import { useChangeGroups, useMembers } from './queries';

interface GroupDialogProps {
  group: PersonGroup;
  onClose: () => void;
}

/** Who belongs to a group. */
export function MembersDialog({ group: { groupId, name }, onClose }: GroupDialogProps) {
  const members = useMembers(groupId);
  const change = useChangeGroups();
  const ids = members.data?.map(({ userId }) => userId) ?? [];
  return (
    <Dialog onClose={onClose} title={`Members of “${name}”`}>
      <Stack>
        <PersonSelect
          label="Add a person"
          without={ids}
          onChoose={({ userId }) => change.mutate({ kind: 'add', groupId, userId })}
        />
        {change.isError && <Alert color="red">{describe(change.error)}</Alert>}
        <Panel query={members} what="The members" empty="Nobody belongs to this group yet.">
          <Rows label="Members">
            {members.data?.map((member) => (
              <Row
                key={member.userId}
                icon={<PersonAvatar name={member.name} avatarUrl={member.avatarUrl} size={32} />}
                title={member.name}
                actions={
                  <ActionIcon
                    aria-label={`Remove ${member.name} from the group`}
                    title="Remove"
                    onClick={() =>
                      change.mutate({ kind: 'remove', groupId, userId: member.userId })
                    }
                  >
                    <IconX size={18} />
                  </ActionIcon>
                }
              />
            ))}
          </Rows>
        </Panel>
      </Stack>
    </Dialog>
  );
}

export function RenameGroupDialog({ group: { groupId, name }, onClose }: GroupDialogProps) {
  const rename = useChangeGroups();
  return (
    <RenameDialog
      title="Rename group"
      label="Name"
      name={name}
      onRename={(next) => rename.mutateAsync({ kind: 'rename', groupId, name: next })}
      onClose={onClose}
    />
  );
}

export function DeleteGroupDialog({ group, onClose }: GroupDialogProps) {
  const deletion = useChangeGroups();
  return (
    <ConfirmDialog
      title="Delete group?"
      action="Delete"
      onConfirm={() => deletion.mutateAsync({ kind: 'delete', groupId: group.groupId })}
      onClose={onClose}
    >
      The members of <b>{group.name}</b> lose access to what was shared with the group, unless they
      have it otherwise.
    </ConfirmDialog>
  );
}

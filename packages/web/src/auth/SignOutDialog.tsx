import { Button, Group, Modal, Stack, Text } from '@mantine/core';

interface SignOutDialogProps {
  /** How many edits would be lost; 0 keeps the dialog closed. */
  unsent: number;
  onConfirm: () => void;
  onClose: () => void;
}

/** Asks before unsent edits are thrown away together with everything else that is kept here. */
export function SignOutDialog({ unsent, onConfirm, onClose }: SignOutDialogProps) {
  return (
    <Modal opened={unsent > 0} onClose={onClose} title="Sign out and lose edits?">
      <Stack>
        <Text>
          {unsent === 1 ? 'One edit has' : `${unsent} edits have`} not reached the server yet.
          Signing out removes everything that is kept on this device, unsent edits too.
        </Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>
            Stay
          </Button>
          <Button color="red.8" onClick={onConfirm}>
            Sign out
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

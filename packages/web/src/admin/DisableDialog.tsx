import type { AdminUser } from '../api/types';
import { ConfirmDialog } from '../forms/ConfirmDialog';
import { useChangeUser } from './queries';

interface DisableDialogProps {
  user: AdminUser;
  onClose: () => void;
}

/** Asks before somebody is kept out. */
export function DisableDialog({ user, onClose }: DisableDialogProps) {
  const change = useChangeUser(user.userId);
  return (
    <ConfirmDialog
      title="Disable account?"
      action="Disable"
      onConfirm={() => change.mutateAsync({ disabled: true })}
      onClose={onClose}
    >
      <b>{user.name}</b> is signed out everywhere at once and cannot sign in again until you enable
      the account. Their documents stay.
    </ConfirmDialog>
  );
}

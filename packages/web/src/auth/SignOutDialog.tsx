import { ConfirmDialog } from '../forms/ConfirmDialog';

interface SignOutDialogProps {
  /** How many edits would be lost. */
  unsent: number;
  onConfirm: () => Promise<unknown>;
  onClose: () => void;
}

/** Asks before unsent edits are thrown away together with everything else that is kept here. */
export function SignOutDialog({ unsent, onConfirm, onClose }: SignOutDialogProps) {
  return (
    <ConfirmDialog
      title="Sign out and lose edits?"
      action="Sign out"
      cancel="Stay"
      onConfirm={onConfirm}
      onClose={onClose}
    >
      {unsent === 1 ? 'One edit has' : `${unsent} edits have`} not reached the server yet. Signing
      out removes everything that is kept on this device, unsent edits too.
    </ConfirmDialog>
  );
}

import { Text } from '@mantine/core';
import type { ReactNode } from 'react';
import { FormDialog } from './FormDialog';
import { useSubmitForm } from './useSubmitForm';

interface ConfirmDialogProps {
  title: string;
  /** What will happen. */
  children: ReactNode;
  /** The word on the button that does it. */
  action: string;
  /** The word on the button that leaves everything as it is. */
  cancel?: string;
  /** Does it; the dialog closes once that is done. */
  onConfirm: () => Promise<unknown>;
  onClose: () => void;
}

/** Asks before something that cannot simply be taken back. */
export function ConfirmDialog({ children, onConfirm, ...dialog }: ConfirmDialogProps) {
  const form = useSubmitForm({
    initialValues: {},
    action: async () => {
      await onConfirm();
      dialog.onClose();
    },
  });
  return (
    <FormDialog form={form} grave {...dialog}>
      <Text component="div">{children}</Text>
    </FormDialog>
  );
}

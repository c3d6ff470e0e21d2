import { Button, Group } from '@mantine/core';
import type { ReactNode } from 'react';
import { Dialog } from '../components/Dialog';
import { Form } from './Form';
import type { SubmitForm } from './useSubmitForm';

interface DialogButtonsProps {
  /** The word on the button that submits the form. */
  action: string;
  /** The word on the other one. */
  cancel?: string;
  /** Whether the action cannot simply be taken back: then it takes more than Enter. */
  grave?: boolean;
  pending: boolean;
  disabled?: boolean;
  onClose: () => void;
}

/** The last line of a form that can be left: the way out, and the action. */
export function DialogButtons(props: DialogButtonsProps) {
  const { action, cancel = 'Cancel', grave = false, pending, disabled = false, onClose } = props;
  return (
    <Group justify="flex-end">
      <Button variant="default" onClick={onClose} {...(grave ? { 'data-autofocus': true } : {})}>
        {cancel}
      </Button>
      <Button type="submit" loading={pending} disabled={disabled} {...(grave ? GRAVE : {})}>
        {action}
      </Button>
    </Group>
  );
}

const GRAVE = { color: 'red.8' };

interface FormDialogProps extends Omit<DialogButtonsProps, 'pending'> {
  title: string;
  form: Pick<SubmitForm<never>, 'submit' | 'failure' | 'submitting'>;
  children: ReactNode;
}

/** A dialog with one form in it. */
export function FormDialog({ title, form, children, ...buttons }: FormDialogProps) {
  return (
    <Dialog title={title} onClose={buttons.onClose}>
      <Form form={form}>
        {children}
        <DialogButtons pending={form.submitting} {...buttons} />
      </Form>
    </Dialog>
  );
}

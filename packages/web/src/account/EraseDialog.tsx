import { PasswordInput, Text, TextInput } from '@mantine/core';
import { hasCode } from '../api/error';
import type { Me } from '../api/types';
import { FormDialog } from '../forms/FormDialog';
import { asWrongPassword, FieldError } from '../forms/fields';
import { useSubmitForm } from '../forms/useSubmitForm';
import { useEraseAccount } from './queries';

/** What has to be typed, lest it happens by a slip of the hand. */
const CONFIRMATION = 'erase';

interface EraseDialogProps {
  me: Me;
  onClose: () => void;
}

/** Erases the user's account, once they have said so in three ways. */
export function EraseDialog({ me, onClose }: EraseDialogProps) {
  const erase = useEraseAccount();
  const form = useSubmitForm({
    initialValues: { transferTo: '', password: '', confirmation: '' },
    validate: {
      transferTo: (heir) =>
        heir.trim() !== '' && heir.trim() === me.email ? 'This is your own e-mail.' : null,
      password: (password) => (me.hasPassword && password === '' ? 'Enter your password.' : null),
      confirmation: (typed) =>
        typed.trim().toLowerCase() === CONFIRMATION ? null : `Type “${CONFIRMATION}”.`,
    },
    action: async ({ transferTo, password }) => {
      const heir = transferTo.trim();
      const body = {
        ...(me.hasPassword ? { password } : {}),
        ...(heir === '' ? {} : { transferTo: heir }),
      };
      await erase.mutateAsync(body).catch((error: unknown) => {
        if (!hasCode(error, 'not_found')) asWrongPassword(error);
        throw new FieldError('transferTo', 'Nobody here has this e-mail.');
      });
    },
  });
  return (
    <FormDialog
      title="Erase your account?"
      form={form}
      action="Erase for ever"
      grave
      onClose={onClose}
    >
      <Text size="sm">
        Your name, e-mail, picture and keys will be gone at once, and you are signed out everywhere.
        What you wrote in documents of others stays there without your name. This cannot be undone.
      </Text>
      <TextInput
        {...form.getInputProps('transferTo')}
        label="Give my documents to"
        description="The e-mail of somebody here. Left empty, your documents are deleted for everyone."
        placeholder="name@example.org"
        type="email"
        autoComplete="off"
      />
      {me.hasPassword && (
        <PasswordInput
          {...form.getInputProps('password')}
          label="Your password"
          autoComplete="current-password"
        />
      )}
      <TextInput
        {...form.getInputProps('confirmation')}
        label={`Type “${CONFIRMATION}” to confirm`}
        autoComplete="off"
      />
    </FormDialog>
  );
}

import { PasswordInput, TextInput } from '@mantine/core';
import { FormDialog } from '../forms/FormDialog';
import {
  checkEmail,
  checkNewPassword,
  NAME_LENGTH_MAX,
  PASSWORD_LENGTH_MIN,
} from '../forms/fields';
import { useSubmitForm } from '../forms/useSubmitForm';
import { useCreateUser } from './queries';

/** Makes an account for somebody. */
export function NewUserDialog({ onClose }: { onClose: () => void }) {
  const create = useCreateUser();
  const form = useSubmitForm({
    initialValues: { name: '', email: '', password: '' },
    validate: {
      name: (name) => (name.trim() === '' ? 'Enter a name.' : null),
      email: checkEmail,
      password: checkNewPassword,
    },
    action: async ({ name, email, password }) => {
      await create.mutateAsync({ name: name.trim(), email: email.trim(), password });
      onClose();
    },
  });
  return (
    <FormDialog title="New account" form={form} action="Create account" onClose={onClose}>
      <TextInput
        {...form.getInputProps('name')}
        label="Name"
        autoComplete="off"
        maxLength={NAME_LENGTH_MAX}
        data-autofocus
      />
      <TextInput {...form.getInputProps('email')} label="E-mail" type="email" autoComplete="off" />
      <PasswordInput
        {...form.getInputProps('password')}
        label="First password"
        description={`At least ${PASSWORD_LENGTH_MIN} characters. They should change it in their profile.`}
        autoComplete="new-password"
      />
    </FormDialog>
  );
}

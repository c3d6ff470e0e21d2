import { Button, PasswordInput } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useSession } from '../auth/SessionProvider';
import { Section } from '../components/Section';
import { Form } from '../forms/Form';
import { asWrongPassword, checkNewPassword } from '../forms/fields';
import { useSubmitForm } from '../forms/useSubmitForm';

/** Another password, which signs the account out everywhere else. */
export function Password() {
  const session = useSession();
  const form = useSubmitForm({
    initialValues: { password: '', newPassword: '' },
    validate: {
      password: (password) => (password === '' ? 'Enter your present password.' : null),
      newPassword: checkNewPassword,
    },
    action: async (passwords) => {
      await session.changePassword(passwords).catch(asWrongPassword);
      form.reset();
      notifications.show({
        message: 'Your password is changed. Other browsers and devices are signed out.',
      });
    },
  });
  return (
    <Section title="Password" lead="A new password signs you out everywhere but here.">
      <Form form={form} maw={360}>
        <PasswordInput
          {...form.getInputProps('password')}
          label="Present password"
          autoComplete="current-password"
        />
        <PasswordInput
          {...form.getInputProps('newPassword')}
          label="New password"
          autoComplete="new-password"
        />
        <Button type="submit" variant="light" loading={form.submitting} mr="auto">
          Change password
        </Button>
      </Form>
    </Section>
  );
}

import { Alert, Anchor, Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { IconAlertCircle } from '@tabler/icons-react';
import { Link, Navigate, useLocation, useSearchParams } from 'react-router';
import { AuthLayout } from './AuthLayout';
import { checkEmail, PASSWORD_LENGTH_MIN } from './fields';
import { returnPath } from './returnPath';
import { useSession, useSessionState } from './SessionProvider';
import { useSubmit } from './useSubmit';

export function RegisterPage() {
  const session = useSession();
  const state = useSessionState();
  const location = useLocation();
  const [search] = useSearchParams();
  const form = useForm({
    mode: 'uncontrolled',
    initialValues: { name: '', email: '', password: '' },
    validate: {
      name: (name) => (name.trim() === '' ? 'Enter the name that others should see.' : null),
      email: checkEmail,
      password: (password) =>
        [...password].length < PASSWORD_LENGTH_MIN
          ? `Use at least ${PASSWORD_LENGTH_MIN} characters.`
          : null,
    },
  });

  const { submit, failure } = useSubmit(form, ({ name, email, password }) =>
    session.register({ name: name.trim(), email: email.trim(), password }),
  );

  if (state.userId !== null) return <Navigate to={returnPath(search)} replace />;

  return (
    <AuthLayout
      title="Create an account"
      lead={
        <>
          Have one already?{' '}
          <Anchor component={Link} to={`/sign-in${location.search}`}>
            Sign in
          </Anchor>
        </>
      }
    >
      <form onSubmit={submit} noValidate>
        <Stack gap="md">
          {failure && (
            <Alert icon={<IconAlertCircle />} color="red">
              {failure}
            </Alert>
          )}
          <TextInput
            key={form.key('name')}
            {...form.getInputProps('name')}
            label="Name"
            description="Shown beside your cursor"
            autoComplete="name"
            size="md"
            autoFocus
          />
          <TextInput
            key={form.key('email')}
            {...form.getInputProps('email')}
            label="E-mail"
            type="email"
            autoComplete="username"
            size="md"
          />
          <PasswordInput
            key={form.key('password')}
            {...form.getInputProps('password')}
            label="Password"
            description={`At least ${PASSWORD_LENGTH_MIN} characters`}
            autoComplete="new-password"
            size="md"
          />
          <Button type="submit" size="md" mt="xs" loading={form.submitting} fullWidth>
            Create account
          </Button>
        </Stack>
      </form>
    </AuthLayout>
  );
}

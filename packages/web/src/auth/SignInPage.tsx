import { Alert, Anchor, Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { IconAlertCircle, IconInfoCircle } from '@tabler/icons-react';
import { Link, Navigate, useLocation, useSearchParams } from 'react-router';
import { AuthLayout } from './AuthLayout';
import { checkEmail } from './fields';
import { returnPath } from './returnPath';
import { useSession, useSessionState } from './SessionProvider';
import { useSubmit } from './useSubmit';

export function SignInPage() {
  const session = useSession();
  const state = useSessionState();
  const location = useLocation();
  const [search] = useSearchParams();
  const form = useForm({
    mode: 'uncontrolled',
    initialValues: { email: '', password: '' },
    validate: {
      email: checkEmail,
      password: (password) => (password === '' ? 'Enter your password.' : null),
    },
  });

  const { submit, failure } = useSubmit(form, ({ email, password }) =>
    session.signIn({ email: email.trim(), password }),
  );

  if (state.userId !== null) return <Navigate to={returnPath(search)} replace />;

  return (
    <AuthLayout
      title="Sign in"
      lead={
        <>
          New here?{' '}
          <Anchor component={Link} to={`/register${location.search}`}>
            Create an account
          </Anchor>
        </>
      }
    >
      <form onSubmit={submit} noValidate>
        <Stack gap="md">
          {state.absence === 'expired' && !failure && (
            <Alert icon={<IconInfoCircle />} color="lapis" role="status">
              Your session has ended. Sign in again to go on.
            </Alert>
          )}
          {failure && (
            <Alert icon={<IconAlertCircle />} color="red">
              {failure}
            </Alert>
          )}
          <TextInput
            key={form.key('email')}
            {...form.getInputProps('email')}
            label="E-mail"
            type="email"
            autoComplete="username"
            size="md"
            autoFocus
          />
          <PasswordInput
            key={form.key('password')}
            {...form.getInputProps('password')}
            label="Password"
            autoComplete="current-password"
            size="md"
          />
          <Button type="submit" size="md" mt="xs" loading={form.submitting} fullWidth>
            Sign in
          </Button>
        </Stack>
      </form>
    </AuthLayout>
  );
}

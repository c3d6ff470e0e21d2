import { Alert, Anchor, Button, PasswordInput, TextInput } from '@mantine/core';
import { IconAlertCircle, IconInfoCircle } from '@tabler/icons-react';
import { Link, Navigate, useLocation, useSearchParams } from 'react-router';
import { Form } from '../forms/Form';
import { checkEmail } from '../forms/fields';
import { useSubmitForm } from '../forms/useSubmitForm';
import { AuthLayout } from './AuthLayout';
import { ProviderButtons } from './ProviderButtons';
import { useProviders } from './providers';
import { returnPath } from './returnPath';
import { useSession, useSessionState } from './SessionProvider';

export function SignInPage() {
  const session = useSession();
  const state = useSessionState();
  const location = useLocation();
  const [search] = useSearchParams();
  const registration = useProviders().data?.registration ?? true;
  const form = useSubmitForm({
    initialValues: { email: '', password: '' },
    validate: {
      email: checkEmail,
      password: (password) => (password === '' ? 'Enter your password.' : null),
    },
    action: ({ email, password }) => session.signIn({ email: email.trim(), password }),
  });

  if (state.userId !== null) return <Navigate to={returnPath(search)} replace />;

  return (
    <AuthLayout
      title="Sign in"
      lead={
        registration ? (
          <>
            New here?{' '}
            <Anchor component={Link} to={`/register${location.search}`}>
              Create an account
            </Anchor>
          </>
        ) : (
          'Accounts are made by your administrator.'
        )
      }
    >
      <Form form={form}>
        {state.absence === 'expired' && !form.failure && (
          <Alert icon={<IconInfoCircle />} color="lapis" role="status">
            Your session has ended. Sign in again to go on.
          </Alert>
        )}
        {state.absence === 'disabled' && !form.failure && (
          <Alert icon={<IconAlertCircle />} color="red" role="status">
            This account has been disabled. Ask an administrator of your organization.
          </Alert>
        )}
        <TextInput
          {...form.getInputProps('email')}
          label="E-mail"
          type="email"
          autoComplete="username"
          size="md"
          autoFocus
        />
        <PasswordInput
          {...form.getInputProps('password')}
          label="Password"
          autoComplete="current-password"
          size="md"
        />
        <Button type="submit" size="md" mt="xs" loading={form.submitting} fullWidth>
          Sign in
        </Button>
      </Form>
      <ProviderButtons returnTo={returnPath(search)} />
    </AuthLayout>
  );
}

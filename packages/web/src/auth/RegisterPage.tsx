import { Anchor, Button, PasswordInput, TextInput } from '@mantine/core';
import { Link, Navigate, useLocation, useSearchParams } from 'react-router';
import { Form } from '../forms/Form';
import {
  checkEmail,
  checkNewPassword,
  NAME_LENGTH_MAX,
  PASSWORD_LENGTH_MIN,
} from '../forms/fields';
import { useSubmitForm } from '../forms/useSubmitForm';
import { AuthLayout } from './AuthLayout';
import { ProviderButtons } from './ProviderButtons';
import { useProviders } from './providers';
import { returnPath } from './returnPath';
import { useSession, useSessionState } from './SessionProvider';

export function RegisterPage() {
  const session = useSession();
  const state = useSessionState();
  const location = useLocation();
  const [search] = useSearchParams();
  const registration = useProviders().data?.registration ?? true;
  const form = useSubmitForm({
    initialValues: { name: '', email: '', password: '' },
    validate: {
      name: (name) => (name.trim() === '' ? 'Enter the name that others should see.' : null),
      email: checkEmail,
      password: checkNewPassword,
    },
    action: ({ name, email, password }) =>
      session.register({ name: name.trim(), email: email.trim(), password }),
  });

  if (state.userId !== null) return <Navigate to={returnPath(search)} replace />;
  if (!registration) return <Navigate to={`/sign-in${location.search}`} replace />;

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
      <Form form={form}>
        <TextInput
          {...form.getInputProps('name')}
          label="Name"
          description="Shown beside your cursor"
          autoComplete="name"
          maxLength={NAME_LENGTH_MAX}
          size="md"
          autoFocus
        />
        <TextInput
          {...form.getInputProps('email')}
          label="E-mail"
          type="email"
          autoComplete="username"
          size="md"
        />
        <PasswordInput
          {...form.getInputProps('password')}
          label="Password"
          description={`At least ${PASSWORD_LENGTH_MIN} characters`}
          autoComplete="new-password"
          size="md"
        />
        <Button type="submit" size="md" mt="xs" loading={form.submitting} fullWidth>
          Create account
        </Button>
      </Form>
      <ProviderButtons returnTo={returnPath(search)} />
    </AuthLayout>
  );
}

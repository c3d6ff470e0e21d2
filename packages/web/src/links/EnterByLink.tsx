import { Anchor, Button, PasswordInput, TextInput } from '@mantine/core';
import { Link } from 'react-router';
import type { LinkOpened, LinkPreview } from '../api/types';
import { AuthLayout } from '../auth/AuthLayout';
import { signInPath } from '../auth/returnPath';
import { useSessionState } from '../auth/SessionProvider';
import { ROLE_VERBS } from '../components/roles';
import { Form } from '../forms/Form';
import { NAME_LENGTH_MAX } from '../forms/fields';
import { useSubmitForm } from '../forms/useSubmitForm';

interface EnterByLinkProps {
  token: string;
  preview: LinkPreview;
  open: (body: { password?: string; name?: string }) => Promise<LinkOpened>;
}

/** Asks for what is missing: the link's password, and of those who are not signed in, a name. */
export function EnterByLink({ token, preview, open }: EnterByLinkProps) {
  const { userId } = useSessionState();
  const isGuest = userId === null;
  const { passwordRequired, role, title } = preview;
  const form = useSubmitForm({
    initialValues: { name: '', password: '' },
    validate: {
      name: (name) =>
        isGuest && name.trim() === '' ? 'Enter the name that others should see.' : null,
      password: (password) =>
        passwordRequired && password === '' ? 'Enter the password of the link.' : null,
    },
    action: ({ name, password }) =>
      open({
        ...(isGuest ? { name: name.trim() } : {}),
        ...(passwordRequired ? { password } : {}),
      }),
  });
  return (
    <AuthLayout
      title={title ?? 'A shared document'}
      lead={`You were given a link by which you can ${ROLE_VERBS[role]} this document.`}
    >
      <Form form={form}>
        {isGuest && (
          <TextInput
            {...form.getInputProps('name')}
            label="Your name"
            description="Shown beside your cursor"
            autoComplete="name"
            maxLength={NAME_LENGTH_MAX}
            size="md"
            autoFocus
          />
        )}
        {passwordRequired && (
          <PasswordInput
            {...form.getInputProps('password')}
            label="Password of the link"
            autoComplete="off"
            size="md"
            autoFocus={!isGuest}
          />
        )}
        <Button type="submit" size="md" mt="xs" loading={form.submitting} fullWidth>
          {isGuest ? 'Continue as guest' : 'Open the document'}
        </Button>
        {isGuest && (
          <Anchor component={Link} to={signInPath(`/l/${token}`)} ta="center">
            Sign in with an account instead
          </Anchor>
        )}
      </Form>
    </AuthLayout>
  );
}

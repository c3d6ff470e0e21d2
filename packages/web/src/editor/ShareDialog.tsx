import {
  ActionIcon,
  Alert,
  Button,
  CopyButton,
  Divider,
  Group,
  Modal,
  Select,
  Skeleton,
  Stack,
  Text,
  TextInput,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { IconCheck, IconLink, IconX } from '@tabler/icons-react';
import { describe, hasCode } from '../api/error';
import type { Grant, GrantRole } from '../api/types';
import { checkEmail } from '../auth/fields';
import { useUserId } from '../auth/SessionProvider';
import { Failure } from '../components/Failure';
import { PersonAvatar } from '../components/PersonAvatar';
import { useAddGrant, useGrants, useRemoveGrant } from './grants';
import classes from './ShareDialog.module.css';

const ROLES: ReadonlyArray<{ value: GrantRole; label: string }> = [
  { value: 'editor', label: 'Can edit' },
  { value: 'viewer', label: 'Can view' },
];

interface ShareDialogProps {
  documentId: string;
  title: string;
  opened: boolean;
  onClose: () => void;
}

/** Who may read and edit a document: for its owner. */
export function ShareDialog({ documentId, title, opened, onClose }: ShareDialogProps) {
  return (
    <Modal opened={opened} onClose={onClose} title={`Share “${title}”`} size="md">
      <Stack gap="lg">
        <AddPerson documentId={documentId} />
        <People documentId={documentId} />
        <Divider />
        <Group justify="space-between">
          <Text size="sm" c="dimmed" flex={1} miw={180}>
            The link opens the document for the people above.
          </Text>
          <CopyLink />
        </Group>
      </Stack>
    </Modal>
  );
}

function AddPerson({ documentId }: { documentId: string }) {
  const add = useAddGrant(documentId);
  const form = useForm({
    mode: 'uncontrolled',
    initialValues: { email: '', role: 'editor' as GrantRole },
    validate: { email: checkEmail },
  });
  const submit = form.onSubmit(({ email, role }) =>
    add.mutate(
      { email: email.trim(), role },
      {
        onSuccess: () => form.reset(),
        onError: (error) =>
          form.setFieldError(
            'email',
            hasCode(error, 'not_found') ? 'Nobody here has this e-mail.' : describe(error),
          ),
      },
    ),
  );
  return (
    <form onSubmit={submit} noValidate>
      <Group align="flex-end" gap="xs" className={classes.add}>
        <TextInput
          key={form.key('email')}
          {...form.getInputProps('email')}
          label="Add a person"
          placeholder="name@example.org"
          type="email"
          autoComplete="off"
          data-autofocus
          inputWrapperOrder={['label', 'error', 'input']}
          className={classes.email}
        />
        <Select
          key={form.key('role')}
          {...form.getInputProps('role')}
          aria-label="Role"
          data={[...ROLES]}
          allowDeselect={false}
          w={118}
        />
        <Button type="submit" loading={add.isPending}>
          Add
        </Button>
      </Group>
    </form>
  );
}

function People({ documentId }: { documentId: string }) {
  const grants = useGrants(documentId);
  if (grants.isPending) return <Skeleton h={44} />;
  if (grants.isError) {
    return (
      <Failure
        title="The list of people could not be loaded"
        error={grants.error}
        retry={() => grants.refetch()}
        retrying={grants.isFetching}
      />
    );
  }
  return (
    <ul className={classes.people} aria-label="People with access">
      {grants.data.map((grant) => (
        <GrantRow key={grant.userId} documentId={documentId} grant={grant} />
      ))}
    </ul>
  );
}

function GrantRow({ documentId, grant }: { documentId: string; grant: Grant }) {
  const userId = useUserId();
  const change = useAddGrant(documentId);
  const remove = useRemoveGrant(documentId);
  const { name, email, role } = grant;
  const error = change.error ?? remove.error;
  return (
    <li>
      <Group wrap="nowrap" gap="sm">
        <PersonAvatar name={name} size={34} />
        <div className={classes.who}>
          <Text fw={600} size="sm" truncate>
            {name}
            {grant.userId === userId && ' (you)'}
          </Text>
          <Text size="xs" c="dimmed" truncate>
            {email}
          </Text>
        </div>
        {role === 'owner' ? (
          <Text size="sm" c="dimmed" pr="xs">
            Owner
          </Text>
        ) : (
          <>
            <Select
              aria-label={`Role of ${name}`}
              data={[...ROLES]}
              value={change.isPending ? change.variables.role : role}
              onChange={(value) => change.mutate({ email, role: value as GrantRole })}
              allowDeselect={false}
              size="xs"
              w={104}
            />
            <ActionIcon
              aria-label={`Remove ${name}`}
              title={`Remove ${name}`}
              loading={remove.isPending}
              onClick={() => remove.mutate(grant.userId)}
            >
              <IconX size={18} />
            </ActionIcon>
          </>
        )}
      </Group>
      {error && (
        <Alert color="red" mt="xs" p="xs">
          {describe(error)}
        </Alert>
      )}
    </li>
  );
}

function CopyLink() {
  const { origin, pathname } = window.location;
  return (
    <CopyButton value={origin + pathname} timeout={2_000}>
      {({ copied, copy }) => (
        <Button
          variant="light"
          onClick={copy}
          leftSection={copied ? <IconCheck size={18} /> : <IconLink size={18} />}
        >
          {copied ? 'Copied' : 'Copy link'}
        </Button>
      )}
    </CopyButton>
  );
}

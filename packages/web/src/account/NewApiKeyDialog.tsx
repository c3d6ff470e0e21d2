import { Alert, Button, Checkbox, Select, Stack, TextInput } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import { useState } from 'react';
import type { Scope } from '../api/types';
import { CopyField } from '../components/CopyField';
import { Dialog } from '../components/Dialog';
import { EXPIRIES, expiryTime } from '../components/expiry';
import { Form } from '../forms/Form';
import { DialogButtons } from '../forms/FormDialog';
import { NAME_LENGTH_MAX } from '../forms/fields';
import { useSubmitForm } from '../forms/useSubmitForm';
import { useCreateApiKey } from './queries';

const SCOPES: ReadonlyArray<{ value: Scope; label: string; description: string }> = [
  { value: 'read', label: 'Read', description: 'List, search and read documents' },
  { value: 'write', label: 'Write', description: 'Make and edit documents' },
  { value: 'manage', label: 'Manage', description: 'Share and delete documents' },
  { value: 'account', label: 'Account', description: 'Change your profile and your keys' },
];

/** Makes a key, and then shows it this once. */
export function NewApiKeyDialog({ onClose }: { onClose: () => void }) {
  const [key, setKey] = useState<string>();
  return (
    <Dialog
      onClose={onClose}
      title={key === undefined ? 'New API key' : 'Your new key'}
      // The key is not shown again: closing it takes a decision.
      closeOnClickOutside={key === undefined}
    >
      {key === undefined ? (
        <KeyForm onMade={setKey} onClose={onClose} />
      ) : (
        <Stack>
          <Alert icon={<IconAlertTriangle />} color="yellow">
            Copy it now: it is not shown again.
          </Alert>
          <CopyField label="API key" value={key} />
          <Button onClick={onClose} ml="auto">
            Done
          </Button>
        </Stack>
      )}
    </Dialog>
  );
}

interface KeyFormProps {
  onMade: (key: string) => void;
  onClose: () => void;
}

function KeyForm({ onMade, onClose }: KeyFormProps) {
  const create = useCreateApiKey();
  const form = useSubmitForm({
    initialValues: { name: '', scopes: ['read'] as Scope[], expiry: '90' },
    validate: {
      name: (name) => (name.trim() === '' ? 'Say what the key is for.' : null),
      scopes: (scopes) => (scopes.length === 0 ? 'Choose what it may do.' : null),
    },
    action: async ({ name, scopes, expiry }) => {
      const expiresAt = expiryTime(expiry);
      const body = { name: name.trim(), scopes, ...(expiresAt ? { expiresAt } : {}) };
      onMade((await create.mutateAsync(body)).key);
    },
  });
  return (
    <Form form={form}>
      <TextInput
        {...form.getInputProps('name')}
        label="Name"
        placeholder="Nightly backup"
        maxLength={NAME_LENGTH_MAX}
        data-autofocus
      />
      <Checkbox.Group {...form.getInputProps('scopes')} label="What it may do">
        <Stack gap="sm" mt={8}>
          {SCOPES.map(({ value, label, description }) => (
            <Checkbox key={value} value={value} label={label} description={description} />
          ))}
        </Stack>
      </Checkbox.Group>
      <Select
        {...form.getInputProps('expiry')}
        label="Expires"
        data={[...EXPIRIES]}
        allowDeselect={false}
      />
      <DialogButtons action="Create key" pending={form.submitting} onClose={onClose} />
    </Form>
  );
}

import { Paper, PasswordInput, Select, SimpleGrid } from '@mantine/core';
import type { GrantRole } from '../api/types';
import { EXPIRIES, expiryTime } from '../components/expiry';
import { GRANT_ROLES } from '../components/roles';
import { Form } from '../forms/Form';
import { DialogButtons } from '../forms/FormDialog';
import { useSubmitForm } from '../forms/useSubmitForm';
import { useCreateLink } from './queries';

interface NewLinkFormProps {
  documentId: string;
  onClose: () => void;
}

/** Makes a share link. */
export function NewLinkForm({ documentId, onClose }: NewLinkFormProps) {
  const create = useCreateLink(documentId);
  const form = useSubmitForm({
    initialValues: { role: 'viewer' as GrantRole, expiry: 'never', password: '' },
    action: async ({ role, expiry, password }) => {
      const expiresAt = expiryTime(expiry);
      await create.mutateAsync({
        role,
        ...(expiresAt ? { expiresAt } : {}),
        ...(password === '' ? {} : { password }),
      });
      onClose();
    },
  });
  return (
    <Paper withBorder p="md" bg="transparent">
      <Form form={form}>
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          <Select
            {...form.getInputProps('role')}
            label="Whoever has the link"
            data={[...GRANT_ROLES]}
            allowDeselect={false}
          />
          <Select
            {...form.getInputProps('expiry')}
            label="Expires"
            data={[...EXPIRIES]}
            allowDeselect={false}
          />
        </SimpleGrid>
        <PasswordInput
          {...form.getInputProps('password')}
          label="Password"
          description="Optional. Tell it to people by another way than the link."
          autoComplete="new-password"
        />
        <DialogButtons action="Create link" pending={form.submitting} onClose={onClose} />
      </Form>
    </Paper>
  );
}

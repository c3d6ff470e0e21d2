import { Autocomplete, Button, Group, Select } from '@mantine/core';
import { hasCode } from '../api/error';
import type { GrantRole, PersonGroup } from '../api/types';
import { GRANT_ROLES } from '../components/roles';
import { Form } from '../forms/Form';
import { checkEmail, FieldError } from '../forms/fields';
import { useSubmitForm } from '../forms/useSubmitForm';
import { type Grantee, useAddGrant, useGroups } from './queries';
import classes from './ShareDialog.module.css';

/** Lets a person in by e-mail, or a group by name. */
export function AddGrant({ documentId }: { documentId: string }) {
  const add = useAddGrant(documentId);
  const groups = useGroups().data ?? [];
  const form = useSubmitForm({
    initialValues: { who: '', role: 'editor' as GrantRole },
    validate: { who: (who) => (groupNamed(groups, who) ? null : checkEmail(who)) },
    action: async ({ who, role }) => {
      await add.mutateAsync({ ...grantee(groups, who), role }).catch(explain);
      form.setFieldValue('who', '');
    },
  });
  return (
    <Form form={form}>
      <Group align="flex-end" gap="xs">
        <Autocomplete
          {...form.getInputProps('who')}
          label={groups.length > 0 ? 'Add a person or group' : 'Add a person'}
          placeholder="name@example.org"
          data={
            groups.length > 0
              ? [{ group: 'Groups', items: [...new Set(groups.map(({ name }) => name))] }]
              : []
          }
          openOnFocus={false}
          autoComplete="off"
          data-autofocus
          inputWrapperOrder={['label', 'error', 'input']}
          className={classes.who}
        />
        <Select
          {...form.getInputProps('role')}
          aria-label="Role"
          data={[...GRANT_ROLES]}
          allowDeselect={false}
          w={144}
        />
        <Button type="submit" loading={form.submitting}>
          Add
        </Button>
      </Group>
    </Form>
  );
}

function explain(error: unknown): never {
  if (hasCode(error, 'not_found')) throw new FieldError('who', 'Nobody here has this e-mail.');
  if (hasCode(error, 'invalid_request')) throw new FieldError('who', 'You own this document.');
  throw error;
}

function groupNamed(groups: PersonGroup[], who: string): PersonGroup | undefined {
  return groups.find(({ name }) => name === who.trim());
}

function grantee(groups: PersonGroup[], who: string): Grantee {
  const group = groupNamed(groups, who);
  return group ? { groupId: group.groupId } : { email: who.trim() };
}

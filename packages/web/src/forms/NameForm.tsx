import { Button, Group, TextInput } from '@mantine/core';
import { IconCheck } from '@tabler/icons-react';
import { useState } from 'react';
import { Form } from './Form';
import { NAME_LENGTH_MAX } from './fields';
import { useSubmitForm } from './useSubmitForm';

interface NameFormProps {
  name: string;
  /** The words on the button. */
  action: string;
  onSave: (name: string) => Promise<unknown>;
  /** What the browser may fill in. */
  autoComplete?: string;
}

/** A name that can be changed in its place. */
export function NameForm({ name, action, onSave, autoComplete = 'off' }: NameFormProps) {
  const [saved, setSaved] = useState<string>();
  const form = useSubmitForm({
    initialValues: { name },
    action: async () => {
      await onSave(next);
      setSaved(next);
    },
  });
  const next = form.values.name.trim();
  const isSaved = saved === next && next === name;
  return (
    <Form form={form}>
      <Group align="flex-end" gap="sm">
        <TextInput
          {...form.getInputProps('name')}
          label="Name"
          autoComplete={autoComplete}
          flex="1 1 14rem"
          maxLength={NAME_LENGTH_MAX}
          inputWrapperOrder={['label', 'error', 'input']}
        />
        <Button
          type="submit"
          variant="light"
          loading={form.submitting}
          disabled={next === '' || next === name}
          leftSection={isSaved && <IconCheck size={18} />}
        >
          {isSaved ? 'Saved' : action}
        </Button>
      </Group>
    </Form>
  );
}

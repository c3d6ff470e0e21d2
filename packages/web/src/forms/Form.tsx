import { Alert, Stack, type StackProps } from '@mantine/core';
import { IconAlertCircle } from '@tabler/icons-react';
import type { SubmitForm } from './useSubmitForm';

interface FormProps extends StackProps {
  form: Pick<SubmitForm<never>, 'submit' | 'failure'>;
}

/** The fields and buttons of a form, one under the other, below what went wrong. */
export function Form({ form, children, ...stack }: FormProps) {
  return (
    <form onSubmit={form.submit} noValidate>
      <Stack {...stack}>
        {form.failure && (
          <Alert icon={<IconAlertCircle />} color="red">
            {form.failure}
          </Alert>
        )}
        {children}
      </Stack>
    </form>
  );
}

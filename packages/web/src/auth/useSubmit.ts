import type { UseFormReturnType } from '@mantine/form';
import { useState } from 'react';
import { fieldErrors } from './fields';

/**
 * Submits `form` through `action` and shows what went wrong: at the field that it is about, which is
 * focused, or as `failure` where it is about none.
 */
export function useSubmit<Values extends Record<string, unknown>>(
  form: UseFormReturnType<Values>,
  action: (values: Values) => Promise<void>,
) {
  const [failure, setFailure] = useState<string>();

  const focusFirst = (errors: Record<string, unknown>) => {
    const [first] = Object.keys(errors);
    if (first) form.getInputNode(first)?.focus();
  };
  const submit = form.onSubmit(async (values) => {
    setFailure(undefined);
    try {
      await action(values);
    } catch (error) {
      const { form: general, ...fields } = fieldErrors(error);
      setFailure(general);
      form.setErrors(fields);
      focusFirst(fields);
    }
  }, focusFirst);

  return { submit, failure };
}

import { type UseFormInput, type UseFormReturnType, useForm } from '@mantine/form';
import { type FormEvent, useRef, useState } from 'react';
import { faultOf } from './fields';

type Values = Record<string, unknown>;

interface SubmitFormInput<V extends Values> extends UseFormInput<V> {
  /** What is done with values that are valid. What it rejects with is shown in the form. */
  action: (values: V) => Promise<unknown>;
}

export interface SubmitForm<V extends Values> extends UseFormReturnType<V> {
  submit: (event: FormEvent<HTMLFormElement>) => void;
  /** What went wrong and is about no field. */
  failure: string | undefined;
}

/**
 * A form, to be shown by a [Form]. What is wrong stands at the field that it is about, which is focused,
 * or is the form's `failure` where it is about none.
 */
export function useSubmitForm<V extends Values>(input: SubmitFormInput<V>): SubmitForm<V> {
  const { action, ...options } = input;
  const form = useForm<V>(options);
  const [failure, setFailure] = useState<string>();

  // Another form on the page may have a field of that name: this one's is meant.
  const element = useRef<HTMLFormElement>(null);
  const focus = (field: string | undefined) =>
    element.current?.querySelector<HTMLElement>(`[data-path="${field}"]`)?.focus();
  const send = form.onSubmit(
    async (values) => {
      setFailure(undefined);
      try {
        await action(values);
      } catch (error) {
        const { field, text } = faultOf(error);
        if (field === undefined || !(field in values)) {
          setFailure(text);
          return;
        }
        form.setFieldError(field, text);
        focus(field);
      }
    },
    (errors) => focus(Object.keys(errors)[0]),
  );

  const submit = (event: FormEvent<HTMLFormElement>) => {
    element.current = event.currentTarget;
    send(event);
  };
  return { ...form, submit, failure };
}

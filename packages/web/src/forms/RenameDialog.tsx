import { TextInput } from '@mantine/core';
import { FormDialog } from './FormDialog';
import { NAME_LENGTH_MAX } from './fields';
import { useSubmitForm } from './useSubmitForm';

interface RenameDialogProps {
  title: string;
  /** What the name is called: "Title". */
  label: string;
  name: string;
  onRename: (name: string) => Promise<unknown>;
  onClose: () => void;
}

export function RenameDialog({ title, label, name, onRename, onClose }: RenameDialogProps) {
  const form = useSubmitForm({
    initialValues: { name },
    action: async (values) => {
      await onRename(values.name.trim());
      onClose();
    },
  });
  return (
    <FormDialog
      title={title}
      form={form}
      action="Rename"
      disabled={form.values.name.trim() === ''}
      onClose={onClose}
    >
      <TextInput
        {...form.getInputProps('name')}
        label={label}
        maxLength={NAME_LENGTH_MAX}
        onFocus={(event) => event.currentTarget.select()}
        data-autofocus
      />
    </FormDialog>
  );
}

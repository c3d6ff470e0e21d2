import { Button, Group, Modal, Stack, TextInput } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { describe } from '../api/error';
import type { DocumentSummary } from '../api/types';
import { useRenameDocument } from './queries';
import { TITLE_LENGTH_MAX } from './title';

interface RenameDialogProps {
  document: DocumentSummary;
  onClose: () => void;
}

export function RenameDialog({ document, onClose }: RenameDialogProps) {
  const [title, setTitle] = useState(document.title);
  const rename = useRenameDocument(document.documentId);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    rename.mutate(title.trim(), { onSuccess: onClose });
  };

  return (
    <Modal opened onClose={onClose} title="Rename document">
      <form onSubmit={submit}>
        <Stack>
          <TextInput
            label="Title"
            data-autofocus
            maxLength={TITLE_LENGTH_MAX}
            value={title}
            onChange={(event) => setTitle(event.currentTarget.value)}
            onFocus={(event) => event.currentTarget.select()}
            error={rename.isError && describe(rename.error)}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={rename.isPending} disabled={title.trim() === ''}>
              Rename
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

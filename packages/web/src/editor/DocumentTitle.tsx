import { TextInput } from '@mantine/core';
import { type KeyboardEvent, useEffect, useRef, useState } from 'react';
import { notifyFailure } from '../components/notify';
import { useChangeDocument } from '../documents/queries';
import { NAME_LENGTH_MAX } from '../forms/fields';
import classes from './DocumentTitle.module.css';

interface DocumentTitleProps {
  documentId: string;
  title: string;
  readOnly: boolean;
  /** Whether the document was just made, so that it wants a title of its own. */
  isNew: boolean;
}

/** The title, edited in place: Enter or leaving it keeps what was typed, Escape takes it back. */
export function DocumentTitle({ documentId, title, readOnly, isNew }: DocumentTitleProps) {
  const [draft, setDraft] = useState<string>();
  const input = useRef<HTMLInputElement>(null);
  const rename = useChangeDocument(documentId);

  useEffect(() => {
    if (isNew && !readOnly) input.current?.select();
  }, [isNew, readOnly]);

  if (readOnly) {
    return (
      <h1 className={classes.title} title={title}>
        {title}
      </h1>
    );
  }

  const keep = () => {
    const next = draft?.trim();
    setDraft(undefined);
    if (!next || next === title) return;
    rename.mutate(
      { title: next },
      { onError: (error) => notifyFailure('The title could not be changed', error) },
    );
  };
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    if (event.key === 'Escape') setDraft(undefined);
    // Leaving the field keeps the title, see `keep`; there is nothing left to keep after Escape.
    if (event.key === 'Enter' || event.key === 'Escape') {
      const field = event.currentTarget;
      requestAnimationFrame(() => field.blur());
    }
  };

  const sent = rename.isPending && 'title' in rename.variables ? rename.variables.title : undefined;
  return (
    <h1 className={classes.heading}>
      <TextInput
        ref={input}
        variant="unstyled"
        aria-label="Document title"
        classNames={{ input: classes.input }}
        maxLength={NAME_LENGTH_MAX}
        value={draft ?? sent ?? title}
        onChange={(event) => setDraft(event.currentTarget.value)}
        onBlur={keep}
        onKeyDown={onKeyDown}
      />
    </h1>
  );
}

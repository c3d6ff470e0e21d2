import { Button, Group, Popover, Stack, TextInput } from '@mantine/core';
import { IconLink } from '@tabler/icons-react';
import type Quill from 'quill/core.js';
import { type FormEvent, useCallback, useEffect, useState } from 'react';
import { linkRange, normalizeLink, type Span } from './link';
import { LINK_REQUEST } from './quill';
import { ICON, ToolButton } from './ToolButton';

interface LinkFormProps {
  quill: Quill;
  /** The link at the selection, as Quill gives it. */
  link: unknown;
}

/** Makes, changes and removes the link at the selection. */
export function LinkForm({ quill, link }: LinkFormProps) {
  // What the form is about: fixed when it opens, since typing into it moves the focus away.
  const [range, setRange] = useState<Span | null>(null);
  const [address, setAddress] = useState('');
  const current = typeof link === 'string' ? link : '';

  const open = useCallback(() => {
    const selection = quill.getSelection(true);
    const format = quill.getFormat(selection).link;
    setAddress(typeof format === 'string' ? format : '');
    setRange(linkRange(quill, selection));
  }, [quill]);
  const close = () => {
    setRange(null);
    quill.focus();
  };

  useEffect(() => {
    quill.container.addEventListener(LINK_REQUEST, open);
    return () => quill.container.removeEventListener(LINK_REQUEST, open);
  }, [quill, open]);

  const set = (value: string | false) => {
    if (!range) return;
    if (range.length > 0) {
      quill.formatText(range.index, range.length, 'link', value, 'user');
    } else if (value !== false) {
      quill.insertText(range.index, address.trim(), 'link', value, 'user');
    }
    close();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    set(normalizeLink(address));
  };

  return (
    <Popover
      opened={range !== null}
      onChange={(opened) => !opened && close()}
      position="bottom"
      width={320}
      shadow="md"
      trapFocus
      withinPortal
    >
      <Popover.Target>
        <ToolButton label="Link" keys="K" active={current !== ''} onClick={range ? close : open}>
          <IconLink {...ICON} />
        </ToolButton>
      </Popover.Target>
      <Popover.Dropdown>
        <form onSubmit={submit}>
          <Stack gap="sm">
            <TextInput
              label="Link to"
              placeholder="https://…"
              inputMode="url"
              data-autofocus
              value={address}
              onChange={(event) => setAddress(event.currentTarget.value)}
            />
            <Group justify="flex-end" gap="xs">
              {current !== '' && (
                <Button size="xs" variant="default" mr="auto" onClick={() => set(false)}>
                  Remove
                </Button>
              )}
              <Button size="xs" type="submit" disabled={address.trim() === ''}>
                Apply
              </Button>
            </Group>
          </Stack>
        </form>
      </Popover.Dropdown>
    </Popover>
  );
}

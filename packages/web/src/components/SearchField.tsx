import { CloseButton, TextInput, type TextInputProps } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { useState } from 'react';

/** How long after the last letter it is looked for. */
const SEARCH_AFTER_MS = 200;

/** What is typed into a [SearchField], and what of it is to be looked for. */
export function useSearch(initial = '') {
  const [typed, setTyped] = useState(initial);
  const [settled] = useDebouncedValue(typed.trim(), SEARCH_AFTER_MS);
  return { typed, setTyped, settled };
}

interface SearchFieldProps extends Pick<TextInputProps, 'placeholder'> {
  label: string;
  search: Pick<ReturnType<typeof useSearch>, 'typed' | 'setTyped'>;
}

export function SearchField({ label, placeholder, search: { typed, setTyped } }: SearchFieldProps) {
  return (
    <TextInput
      aria-label={label}
      placeholder={placeholder}
      type="search"
      flex={1}
      leftSection={<IconSearch size={18} />}
      rightSection={
        typed !== '' && (
          <CloseButton size="sm" aria-label="Clear the search" onClick={() => setTyped('')} />
        )
      }
      value={typed}
      onChange={(event) => setTyped(event.currentTarget.value)}
    />
  );
}

import { Flex, SegmentedControl } from '@mantine/core';
import { SearchField, type useSearch } from '../components/SearchField';
import type { Filter } from './queries';

const FILTERS: ReadonlyArray<{ value: Filter; label: string }> = [
  { value: 'all', label: 'All' },
  { value: 'owned', label: 'Mine' },
  { value: 'shared', label: 'Shared with me' },
  { value: 'trash', label: 'Trash' },
];

/** The filter of this name, or all. */
export function filterNamed(name: string | null): Filter {
  return FILTERS.find(({ value }) => value === name)?.value ?? 'all';
}

interface FiltersProps {
  filter: Filter;
  onFilter: (filter: Filter) => void;
  search: ReturnType<typeof useSearch>;
}

/** Which documents the list shows. */
export function Filters({ filter, onFilter, search }: FiltersProps) {
  return (
    <Flex direction={{ base: 'column', sm: 'row' }} gap="sm">
      <SearchField label="Search documents" placeholder="Search titles and texts" search={search} />
      <SegmentedControl
        aria-label="Which documents"
        data={[...FILTERS]}
        value={filter}
        onChange={(value) => onFilter(value as Filter)}
      />
    </Flex>
  );
}

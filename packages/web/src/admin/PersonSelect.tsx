import { Group, Select, Text } from '@mantine/core';
import type { AdminUser } from '../api/types';
import { PersonAvatar } from '../components/PersonAvatar';
import { useSearch } from '../components/SearchField';
import { useUsers } from './queries';

interface PersonSelectProps {
  label: string;
  /** The ids of those who are no choice. */
  without?: string[];
  onChoose: (person: AdminUser) => void;
}

/** Finds a person of the organization by name or e-mail. Empty again once one is chosen. */
export function PersonSelect({ label, without = [], onChoose }: PersonSelectProps) {
  const { typed, setTyped, settled } = useSearch();
  const users = useUsers(settled).data ?? [];
  const people = users.filter(({ userId, kind }) => kind === 'member' && !without.includes(userId));
  return (
    <Select
      aria-label={label}
      placeholder={label}
      searchable
      searchValue={typed}
      onSearchChange={setTyped}
      value={null}
      onChange={(userId) => {
        const person = people.find((one) => one.userId === userId);
        if (person) onChoose(person);
        setTyped('');
      }}
      data={people.map(({ userId, name }) => ({ value: userId, label: name }))}
      // The server has found them, by more than the name.
      filter={({ options }) => options}
      nothingFoundMessage="Nobody fits"
      renderOption={({ option }) => {
        const person = people.find(({ userId }) => userId === option.value);
        return (
          <Group gap="sm" wrap="nowrap">
            <PersonAvatar name={option.label} avatarUrl={person?.avatarUrl} size={28} />
            <div>
              <Text size="sm">{option.label}</Text>
              <Text size="xs" c="dimmed">
                {person?.email}
              </Text>
            </div>
          </Group>
        );
      }}
    />
  );
}

import { Button, Group, Select, SimpleGrid, Stack, Text } from '@mantine/core';
import { IconX } from '@tabler/icons-react';
import { useState } from 'react';
import { AuditList } from '../audit/AuditList';
import { useAudit } from '../audit/queries';
import { ACTIONS, type Subject } from '../audit/sentence';
import { PersonSelect } from './PersonSelect';

/** Everything that happened in the organization. */
export function Audit() {
  const [action, setAction] = useState<string | null>(null);
  const [about, setAbout] = useState<{ subject: Subject; name: string }>();
  const entries = useAudit({ ...(action ? { action } : {}), ...about?.subject });
  return (
    <Stack>
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
        <Select
          aria-label="What happened"
          placeholder="All that happened"
          data={[...ACTIONS]}
          value={action}
          onChange={setAction}
          searchable
          clearable
        />
        <PersonSelect
          label="Find a person"
          onChoose={({ userId, name }) => setAbout({ subject: { userId }, name })}
        />
      </SimpleGrid>
      {about && (
        <Group gap="xs">
          <Text size="sm" c="dimmed">
            About
          </Text>
          <Button
            size="compact-sm"
            variant="light"
            maw="80%"
            rightSection={<IconX size={15} aria-hidden />}
            aria-label={`Not only about ${about.name}`}
            onClick={() => setAbout(undefined)}
          >
            {about.name}
          </Button>
        </Group>
      )}
      <AuditList
        entries={entries}
        empty="Nothing fits."
        onLook={(subject, name) => setAbout({ subject, name })}
      />
    </Stack>
  );
}

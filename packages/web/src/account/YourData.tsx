import { Alert, Button, Group, Text } from '@mantine/core';
import { IconDownload, IconTrashX } from '@tabler/icons-react';
import { useState } from 'react';
import { describe } from '../api/error';
import type { Me } from '../api/types';
import { Section } from '../components/Section';
import { EraseDialog } from './EraseDialog';
import { useExport } from './queries';

/** What is kept about the user: to have, and to have erased. */
export function YourData({ me }: { me: Me }) {
  const download = useExport();
  const [isErasing, setErasing] = useState(false);
  return (
    <Section title="Your data">
      <Group justify="space-between" gap="sm">
        <Text size="sm" flex={1} miw={220}>
          Everything that is kept about you, with the documents that you own, as one file.
        </Text>
        <Button
          variant="light"
          leftSection={<IconDownload size={18} />}
          loading={download.isPending}
          onClick={() => download.mutate()}
        >
          Export my data
        </Button>
      </Group>
      {download.isError && <Alert color="red">{describe(download.error)}</Alert>}
      <Group justify="space-between" gap="sm">
        <Text size="sm" flex={1} miw={220}>
          Your account with everything that tells who you are. Documents that you own go with it,
          unless you give them to somebody.
        </Text>
        <Button
          variant="light"
          color="red"
          leftSection={<IconTrashX size={18} />}
          onClick={() => setErasing(true)}
        >
          Erase my account
        </Button>
      </Group>
      {isErasing && <EraseDialog me={me} onClose={() => setErasing(false)} />}
    </Section>
  );
}

import { Stack, Tabs } from '@mantine/core';
import { IconLink, IconUsers } from '@tabler/icons-react';
import type { DocumentSummary } from '../api/types';
import { Dialog } from '../components/Dialog';
import { AddGrant } from './AddGrant';
import { Grantees } from './Grantees';
import { Links } from './Links';
import { Openness } from './Openness';

interface ShareDialogProps {
  document: DocumentSummary;
  onClose: () => void;
}

/** Who may read and edit a document: for its owner. */
export function ShareDialog({ document, onClose }: ShareDialogProps) {
  const { documentId, title } = document;
  return (
    <Dialog onClose={onClose} title={`Share “${title}”`} size="lg" centered={false}>
      <Tabs defaultValue="people" keepMounted={false}>
        <Tabs.List mb="lg">
          <Tabs.Tab value="people" leftSection={<IconUsers size={18} />}>
            People
          </Tabs.Tab>
          <Tabs.Tab value="links" leftSection={<IconLink size={18} />}>
            Links
          </Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="people">
          <Stack gap="lg">
            <AddGrant documentId={documentId} />
            <Grantees documentId={documentId} />
            <Openness document={document} />
          </Stack>
        </Tabs.Panel>
        <Tabs.Panel value="links">
          <Links documentId={documentId} />
        </Tabs.Panel>
      </Tabs>
    </Dialog>
  );
}

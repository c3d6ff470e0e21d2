import { Paper, Stack, Text, Title } from '@mantine/core';
import type { Filter } from './queries';

const WORDS: Record<Filter, { title: string; text: string }> = {
  all: {
    title: 'Your first document',
    text: 'Start writing alone, and invite others when you like. Documents that others share with you appear here, too.',
  },
  owned: {
    title: 'Nothing of your own yet',
    text: 'Documents that you make are listed here.',
  },
  shared: {
    title: 'Nothing shared with you yet',
    text: 'Documents that others let you read or edit are listed here.',
  },
  trash: {
    title: 'The trash is empty',
    text: 'Documents that you delete wait here for a while, and can be restored.',
  },
};

/** Stands in the place of the list while there is nothing to list. */
export function NoDocuments({ filter }: { filter: Filter }) {
  const { title, text } = WORDS[filter];
  return (
    <Paper withBorder p="xl" py={64} bg="var(--motet-paper)">
      <Stack align="center" gap="md" ta="center">
        <StackedSheets />
        <Title order={2} fz="h3">
          {title}
        </Title>
        <Text c="dimmed" maw={380}>
          {text}
        </Text>
      </Stack>
    </Paper>
  );
}

/** Stands in the place of the list when the search fits no document. */
export function NothingFound({ search }: { search: string }) {
  return (
    <Text role="status" c="dimmed" ta="center" py={48}>
      No document fits “{search}”.
    </Text>
  );
}

function StackedSheets() {
  return (
    <svg width="120" height="96" viewBox="0 0 120 96" aria-hidden="true" focusable="false">
      <rect
        x="34"
        y="8"
        width="62"
        height="78"
        rx="7"
        fill="var(--motet-canvas)"
        stroke="var(--motet-line)"
        strokeWidth="2"
        transform="rotate(7 65 47)"
      />
      <rect
        x="26"
        y="8"
        width="62"
        height="80"
        rx="7"
        fill="var(--motet-paper)"
        stroke="var(--motet-line)"
        strokeWidth="2"
      />
      <g strokeWidth="5" strokeLinecap="round">
        <path d="M38 26h26" stroke="var(--mantine-primary-color-filled)" />
        <path d="M48 40h28" stroke="#ffc94d" />
        <path d="M38 54h20" stroke="#ff8f7a" />
        <path d="M54 68h22" stroke="#5cc9ad" />
      </g>
    </svg>
  );
}

import { Group, Paper, Stack, Text, Title } from '@mantine/core';
import { type ReactNode, useId } from 'react';

interface SectionProps {
  title: string;
  /** A sentence on what it is for. */
  lead?: string;
  /** At the end of the title's line. */
  action?: ReactNode;
  children: ReactNode;
}

/** A part of a page, with a title and a frame. */
export function Section({ title, lead, action, children }: SectionProps) {
  const id = useId();
  return (
    <Paper
      component="section"
      withBorder
      bg="var(--motet-paper)"
      p={{ base: 'md', sm: 'xl' }}
      aria-labelledby={id}
    >
      <Stack gap="lg">
        <Group justify="space-between" align="flex-start" wrap="nowrap">
          <div>
            <Title order={2} fz="lg" id={id}>
              {title}
            </Title>
            {lead && (
              <Text size="sm" c="dimmed" mt={4}>
                {lead}
              </Text>
            )}
          </div>
          {action}
        </Group>
        {children}
      </Stack>
    </Paper>
  );
}

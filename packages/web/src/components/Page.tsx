import { Group, Stack, Text, Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import type { ReactNode } from 'react';
import { Header } from './Header';

interface PageProps {
  title: string;
  /** The line under the title. */
  lead?: string | undefined;
  /** At the end of the title's line. */
  action?: ReactNode;
  /** Whether it is something to fill in, whose lines should not be long. */
  narrow?: boolean;
  children: ReactNode;
}

/** The frame of every page but the editor's and those for signing in. */
export function Page({ title, lead, action, narrow = false, children }: PageProps) {
  useDocumentTitle(`${title} · Motet`);
  return (
    <>
      <Header />
      <Stack
        component="main"
        id="content"
        tabIndex={-1}
        className="page-column"
        gap="lg"
        py={{ base: 24, sm: 40 }}
        {...(narrow ? { maw: 760 } : {})}
      >
        <Group justify="space-between">
          <div>
            <Title order={1} fz={26} lts="-0.02em">
              {title}
            </Title>
            {lead !== undefined && <Text c="dimmed">{lead}</Text>}
          </div>
          {action}
        </Group>
        {children}
      </Stack>
    </>
  );
}

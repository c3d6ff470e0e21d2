import { Center, Stack, Text, ThemeIcon, Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import type { ReactNode } from 'react';

interface FullPageNoticeProps {
  icon: ReactNode;
  title: string;
  children: ReactNode;
  /** Buttons. */
  actions?: ReactNode;
}

/** What stands in the place of a page that cannot be shown. */
export function FullPageNotice({ icon, title, children, actions }: FullPageNoticeProps) {
  useDocumentTitle(`${title} · Motet`);
  return (
    <Center component="main" id="content" tabIndex={-1} mih="70dvh" p="lg">
      <Stack align="center" gap="md" maw={440} ta="center" role="alert">
        <ThemeIcon size={64} radius="xl" variant="light">
          {icon}
        </ThemeIcon>
        <Title order={1} fz="h2">
          {title}
        </Title>
        <Text c="dimmed">{children}</Text>
        {actions}
      </Stack>
    </Center>
  );
}

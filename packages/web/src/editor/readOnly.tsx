import { Center, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconEye } from '@tabler/icons-react';
import { useEffect, useRef } from 'react';
import type { Role } from '../api/types';
import { mayEdit } from '../components/roles';

/** In the place of the toolbar for those who may not write. */
export function ReadOnlyBar() {
  return (
    <Center h="2.75rem" px="md">
      <Text size="sm" c="dimmed" truncate>
        <IconEye size={17} stroke={1.7} aria-hidden style={{ verticalAlign: '-3px' }} /> You can
        read this document, but not edit it.
      </Text>
    </Center>
  );
}

/** Tells when the user's right to write is taken away or given while the document is open. */
export function useRoleNotice(role: Role | undefined): void {
  const before = useRef<boolean>(undefined);
  useEffect(() => {
    if (role === undefined) return;
    const now = mayEdit(role);
    if (before.current !== undefined && before.current !== now) {
      notifications.show({
        color: now ? 'teal' : 'yellow',
        title: now ? 'You can edit this document now' : 'You can no longer edit this document',
        message: now
          ? 'Its owner has given you the right to.'
          : 'Its owner has changed your access. You can go on reading.',
      });
    }
    before.current = now;
  }, [role]);
}

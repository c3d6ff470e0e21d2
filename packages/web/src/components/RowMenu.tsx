import { ActionIcon, Menu } from '@mantine/core';
import { IconDots } from '@tabler/icons-react';
import type { ReactNode } from 'react';

interface RowMenuProps {
  /** What the things are called that it is about. */
  of: string;
  /** Whether something that was chosen is under way. */
  pending?: boolean;
  className?: string | undefined;
  /** Its items. */
  children: ReactNode;
}

/** What can be done with a row of a list. */
export function RowMenu({ of, pending = false, className, children }: RowMenuProps) {
  return (
    <Menu position="bottom-end" shadow="md">
      <Menu.Target>
        <ActionIcon
          size={36}
          aria-label={`Actions for ${of}`}
          loading={pending}
          {...(className === undefined ? {} : { className })}
        >
          <IconDots size={20} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>{children}</Menu.Dropdown>
    </Menu>
  );
}

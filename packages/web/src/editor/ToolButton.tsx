import { Kbd, Toolbar, Tooltip } from '@mantine/core';
import type { MouseEvent, ReactNode, Ref } from 'react';

/** How icons of the toolbar are drawn. */
export const ICON = { size: 19, stroke: 1.75, 'aria-hidden': true } as const;

const isApple = /Mac|iPhone|iPad/.test(navigator.platform);

interface ToolButtonProps {
  /** The button's name, shown on hover. */
  label: string;
  /** The keys that do the same together with Ctrl (on Apple's machines ⌘), joined by `+`. */
  keys?: string | undefined;
  /** Whether what it does is on at the selection; leave it out where nothing can be on. */
  active?: boolean;
  /** As wide as its content, instead of square. */
  wide?: boolean;
  onClick?: (event: MouseEvent<HTMLButtonElement>) => void;
  ref?: Ref<HTMLButtonElement>;
  children: ReactNode;
}

/** A button of the toolbar. Further props come from a menu or popover that it opens. */
export function ToolButton({
  label,
  keys,
  active,
  wide = false,
  children,
  ...others
}: ToolButtonProps) {
  return (
    <Tooltip
      label={
        <>
          {label} {keys && <Shortcut keys={keys} />}
        </>
      }
    >
      <Toolbar.Toggle
        aria-label={label}
        autoWidth={wide}
        {...(active === undefined ? {} : { active })}
        // Keeps the focus, and with it the selection, in the text.
        onMouseDown={(event: MouseEvent) => event.preventDefault()}
        {...others}
      >
        {children}
      </Toolbar.Toggle>
    </Tooltip>
  );
}

function Shortcut({ keys }: { keys: string }) {
  return (
    <Kbd size="xs" ml={4}>
      {isApple ? `⌘${keys.replace('Shift+', '⇧')}` : `Ctrl+${keys}`}
    </Kbd>
  );
}

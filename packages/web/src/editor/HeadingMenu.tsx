import { Group, Menu } from '@mantine/core';
import { IconChevronDown } from '@tabler/icons-react';
import { ToolButton } from './ToolButton';
import classes from './Toolbar.module.css';

const LEVELS = [
  { level: false, label: 'Text', fz: 15, fw: 400 },
  { level: 1, label: 'Heading 1', fz: 21, fw: 650 },
  { level: 2, label: 'Heading 2', fz: 18, fw: 650 },
  { level: 3, label: 'Heading 3', fz: 16, fw: 650 },
] as const;

interface HeadingMenuProps {
  /** The level at the selection, as Quill gives it. */
  level: unknown;
  onChange: (level: number | false) => void;
}

export function HeadingMenu({ level, onChange }: HeadingMenuProps) {
  const current = LEVELS.find((entry) => entry.level === (level ?? false)) ?? LEVELS[0];
  return (
    <Menu position="bottom-start" shadow="md" returnFocus={false} withinPortal>
      <Menu.Target>
        <ToolButton label={`Style: ${current.label}`} wide>
          <Group gap={4} wrap="nowrap" className={classes.heading}>
            <span>{current.label}</span>
            <IconChevronDown size={15} aria-hidden />
          </Group>
        </ToolButton>
      </Menu.Target>
      <Menu.Dropdown>
        {LEVELS.map((entry) => (
          <Menu.Item
            key={entry.label}
            fz={entry.fz}
            fw={entry.fw}
            aria-current={entry === current}
            onClick={() => onChange(entry.level)}
          >
            {entry.label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

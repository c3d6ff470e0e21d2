import { Menu, SimpleGrid } from '@mantine/core';
import { IconCheck, IconLetterA } from '@tabler/icons-react';
import { ToolButton } from './ToolButton';
import classes from './Toolbar.module.css';

/** Text colours that can be read on light and on dark paper. */
const COLORS = [
  { value: '#d9480f', label: 'Orange' },
  { value: '#e03131', label: 'Red' },
  { value: '#d6336c', label: 'Pink' },
  { value: '#ae3ec9', label: 'Purple' },
  { value: '#5c66ec', label: 'Blue' },
  { value: '#1c7fc0', label: 'Light blue' },
  { value: '#0c8577', label: 'Teal' },
  { value: '#2b8a3e', label: 'Green' },
  { value: '#9d6b0c', label: 'Gold' },
  { value: '#7d8290', label: 'Grey' },
] as const;

interface ColorMenuProps {
  /** The colour at the selection, as Quill gives it. */
  color: unknown;
  onChange: (color: string | false) => void;
}

export function ColorMenu({ color, onChange }: ColorMenuProps) {
  const current = typeof color === 'string' ? color : undefined;
  return (
    <Menu position="bottom-start" shadow="md" returnFocus={false} withinPortal>
      <Menu.Target>
        <ToolButton label="Text colour">
          <span className={classes.color}>
            <IconLetterA size={17} stroke={1.9} aria-hidden />
            <span style={{ backgroundColor: current ?? 'currentColor' }} />
          </span>
        </ToolButton>
      </Menu.Target>
      <Menu.Dropdown>
        <SimpleGrid cols={5} spacing={2} p={4}>
          {COLORS.map(({ value, label }) => (
            <Menu.Item
              key={value}
              aria-label={label}
              title={label}
              className={classes.swatch}
              onClick={() => onChange(value)}
            >
              <span style={{ backgroundColor: value }}>
                {current === value && <IconCheck size={16} color="#fff" aria-hidden />}
              </span>
            </Menu.Item>
          ))}
        </SimpleGrid>
        <Menu.Item onClick={() => onChange(false)}>Without colour</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

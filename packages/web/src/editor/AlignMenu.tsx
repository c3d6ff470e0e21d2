import { Menu } from '@mantine/core';
import {
  IconAlignCenter,
  IconAlignJustified,
  IconAlignLeft,
  IconAlignRight,
} from '@tabler/icons-react';
import { ICON, ToolButton } from './ToolButton';

const ALIGNMENTS = [
  { align: false, label: 'Left', Icon: IconAlignLeft },
  { align: 'center', label: 'Centre', Icon: IconAlignCenter },
  { align: 'right', label: 'Right', Icon: IconAlignRight },
  { align: 'justify', label: 'Justify', Icon: IconAlignJustified },
] as const;

interface AlignMenuProps {
  /** The alignment at the selection, as Quill gives it. */
  align: unknown;
  onChange: (align: string | false) => void;
}

export function AlignMenu({ align, onChange }: AlignMenuProps) {
  const current = ALIGNMENTS.find((entry) => entry.align === (align ?? false)) ?? ALIGNMENTS[0];
  return (
    <Menu position="bottom-start" shadow="md" returnFocus={false} withinPortal>
      <Menu.Target>
        <ToolButton label={`Alignment: ${current.label}`}>
          <current.Icon {...ICON} />
        </ToolButton>
      </Menu.Target>
      <Menu.Dropdown>
        {ALIGNMENTS.map((entry) => (
          <Menu.Item
            key={entry.label}
            leftSection={<entry.Icon size={18} aria-hidden />}
            aria-current={entry === current}
            onClick={() => onChange(entry.align)}
          >
            {entry.label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

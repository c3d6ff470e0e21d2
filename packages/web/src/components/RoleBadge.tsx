import { Badge } from '@mantine/core';
import type { Role } from '../api/types';

const LOOKS: Record<Role, { label: string; background: string; color: string }> = {
  owner: {
    label: 'Owner',
    background: 'light-dark(#dfe3fb, #2c3670)',
    color: 'light-dark(#26348c, #dfe3fb)',
  },
  editor: {
    label: 'Editor',
    background: 'light-dark(#d3f3e6, #12483a)',
    color: 'light-dark(#0b5c43, #c5f0e0)',
  },
  commenter: {
    label: 'Commenter',
    background: 'light-dark(#fbeccb, #4d3a12)',
    color: 'light-dark(#6b4a00, #f8e2b0)',
  },
  viewer: {
    label: 'Viewer',
    background: 'light-dark(#e9ebf1, #363b49)',
    color: 'light-dark(#434857, #d3d6df)',
  },
};

/** What the user may do with a document. */
export function RoleBadge({ role }: { role: Role }) {
  const { label, background, color } = LOOKS[role];
  return (
    <Badge tt="none" fw={600} bg={background} c={color}>
      {label}
    </Badge>
  );
}

import { Badge } from '@mantine/core';
import type { Role } from '../api/types';

const LABELS: Record<Role, string> = { owner: 'Owner', editor: 'Editor', viewer: 'Viewer' };
const COLORS: Record<Role, string> = { owner: 'lapis', editor: 'teal', viewer: 'dark' };

/** What the user may do with a document. */
export function RoleBadge({ role }: { role: Role }) {
  return (
    <Badge variant="light" color={COLORS[role]} tt="none" fw={600}>
      {LABELS[role]}
    </Badge>
  );
}

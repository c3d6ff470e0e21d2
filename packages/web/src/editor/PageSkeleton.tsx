import { Skeleton, Stack } from '@mantine/core';
import './surface.css';

const LINES = ['92%', '97%', '88%', '61%'];

/** The writing surface's shape until the document is here. */
export function PageSkeleton() {
  return (
    <div className="motet-surface" aria-busy="true">
      <Stack className="ql-editor" gap="md">
        <Skeleton h={30} w="55%" mb="sm" />
        {LINES.map((width) => (
          <Skeleton key={width} h={14} w={width} />
        ))}
      </Stack>
    </div>
  );
}

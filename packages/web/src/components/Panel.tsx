import { Paper } from '@mantine/core';
import type { ReactNode } from 'react';
import { type Query, QueryFailure } from './QueryFailure';
import { NoRows, RowsSkeleton } from './Rows';

interface PanelProps {
  query: Query & { data: readonly unknown[] | undefined };
  /** What is listed: "The people". */
  what: string;
  /** What stands there when there is nothing. */
  empty: string;
  /** The list. */
  children: ReactNode;
}

/** A framed list: its shape while it loads, why it could not, that it is empty, or itself. */
export function Panel({ query, what, empty, children }: PanelProps) {
  return (
    <>
      <QueryFailure query={query} what={what} />
      {!query.isLoadingError && (
        <Paper withBorder bg="var(--motet-paper)">
          {query.isPending && <RowsSkeleton label={`${what} are being loaded`} />}
          {query.data && (query.data.length === 0 ? <NoRows>{empty}</NoRows> : children)}
        </Paper>
      )}
    </>
  );
}

import type { UseInfiniteQueryResult, UseQueryResult } from '@tanstack/react-query';
import { Failure } from './Failure';

/** What has been asked for, one answer or a list of pages. */
export type Query = UseQueryResult<unknown> | UseInfiniteQueryResult<unknown>;

interface QueryFailureProps {
  query: Query;
  /** What it is called: "The people". */
  what: string;
}

/** Why something could not be loaded, or is shown as it was before; nothing while all is well. */
export function QueryFailure({ query, what }: QueryFailureProps) {
  // That the next page is missing stands where it would be.
  const isNextPage = 'isFetchNextPageError' in query && query.isFetchNextPageError;
  if (!query.isError || isNextPage) return null;
  return (
    <Failure
      title={query.isLoadingError ? `${what} could not be loaded` : `${what} may have changed`}
      error={query.error}
      retry={() => query.refetch()}
      retrying={query.isFetching}
    />
  );
}

import { Button, Stack, Text } from '@mantine/core';
import type { UseInfiniteQueryResult } from '@tanstack/react-query';
import { describe } from '../api/error';

interface LoadMoreProps {
  list: UseInfiniteQueryResult<unknown>;
  children?: string;
}

/** The way to the next page of a list; nothing at its end. */
export function LoadMore({ list, children = 'Show more' }: LoadMoreProps) {
  if (!list.hasNextPage) return null;
  return (
    <Stack align="center" gap="xs" p="sm">
      {list.isFetchNextPageError && (
        <Text role="alert" size="sm" c="var(--mantine-color-error)">
          {describe(list.error)}
        </Text>
      )}
      <Button
        variant="default"
        size="xs"
        onClick={() => list.fetchNextPage()}
        loading={list.isFetchingNextPage}
      >
        {children}
      </Button>
    </Stack>
  );
}

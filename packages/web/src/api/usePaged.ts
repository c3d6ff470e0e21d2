import type { InfiniteData } from '@tanstack/react-query';
import {
  type QueryKey,
  type UseInfiniteQueryOptions,
  useInfiniteQuery,
} from '@tanstack/react-query';
import { useSession } from '../auth/SessionProvider';

const PAGE_ITEMS = 50;

/** What the server gives of a list at a time, and where the next one begins. */
interface CursorPage {
  nextCursor?: string | null;
}

interface PagedInput<Page extends CursorPage, Item>
  extends Pick<
    UseInfiniteQueryOptions<Page, Error, Item[], QueryKey, string | null>,
    'queryKey' | 'placeholderData' | 'staleTime'
  > {
  path: string;
  /** What is looked for; what is empty is left out. */
  parameters?: Readonly<Record<string, string | undefined>>;
  items: (page: Page) => Item[];
}

/** A list that comes a page at a time; its `data` is what is there so far. To go on: a [LoadMore]. */
export function usePaged<Page extends CursorPage, Item>(input: PagedInput<Page, Item>) {
  const { path, parameters, items, ...options } = input;
  const session = useSession();
  return useInfiniteQuery({
    ...options,
    queryFn: ({ pageParam, signal }) => {
      const query = new URLSearchParams({ limit: String(PAGE_ITEMS) });
      for (const [name, value] of Object.entries({ ...parameters, cursor: pageParam })) {
        if (value) query.set(name, value);
      }
      return session.request<Page>(`${path}?${query}`, { signal });
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.nextCursor ?? null,
    select: ({ pages }: InfiniteData<Page>) => pages.flatMap(items),
  });
}

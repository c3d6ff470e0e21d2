import { IndexedDbStore, type MotetDocument } from '@motet/client';

// Documents that are open, and those that were, are kept in the browser's own database, so that what
// is written without a connection is not lost with the tab. It is kept for one user and removed when
// they sign out.

const store = 'indexedDB' in globalThis ? new IndexedDbStore() : undefined;

const open = new Set<MotetDocument>();

/** What a [MotetDocument] needs to keep its edits. */
export const offlineOptions = store ? { offline: store } : {};

/** Counts a document among those that are open here. Returns how to close it. */
export function keepOpen(document: MotetDocument): () => void {
  open.add(document);
  return () => {
    void document.destroy().finally(() => open.delete(document));
  };
}

/** How many edits of a user, in documents that are open and in others, have not reached the server. */
export async function unsentEdits(userId: string): Promise<number> {
  let edits = 0;
  for (const document of open) edits += document.status.waiting;
  // Those that are open are kept as well, unless that failed.
  const kept = (await store?.unsent(userId).catch(() => 0)) ?? 0;
  return Math.max(edits, kept);
}

/** Removes everything that is kept on this device for a user. */
export async function forgetUser(userId: string): Promise<void> {
  // What is still open would store itself again.
  await Promise.all([...open].map((document) => document.destroy()));
  await store?.clear(userId);
}

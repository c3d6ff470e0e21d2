/** The built example pages, served and opened in Chromium. */
import type { Page } from 'playwright-core';
import { type PreviewServer, preview } from 'vite';
import type { Stage } from '../../packages/web/tests/browser';

/** An example, and how its text is found in the page. */
export interface Example {
  readonly folder: string;
  /** Where one clicks to write. */
  readonly surface: string;
  /** What holds the text, if not the surface. */
  readonly text?: string;
}

export const EXAMPLES: readonly Example[] = [
  { folder: 'tiptap', surface: '.tiptap' },
  { folder: 'codemirror', surface: '.cm-content' },
  { folder: 'monaco', surface: '.monaco-editor .view-lines' },
  { folder: 'prosemirror', surface: '.ProseMirror' },
  { folder: 'blocknote', surface: '.bn-editor' },
  { folder: 'lexical', surface: '[contenteditable]' },
  { folder: 'quill-yjs', surface: '.ql-editor' },
];

export function example(folder: string): Example {
  const found = EXAMPLES.find((it) => it.folder === folder);
  if (!found) throw new Error(`no example ${folder}`);
  return found;
}

/** Others' cursors within the text. */
const CURSORS = [
  '.collaboration-carets__caret',
  '.ProseMirror-yjs-cursor',
  '.bn-collaboration-cursor__base',
  '.cm-ySelectionCaret',
  '.ql-cursors',
].join();

/** Serves what `vite build` made, on a free port. */
export async function servePages(): Promise<PreviewServer & { url: string }> {
  const root = new URL('..', import.meta.url).pathname;
  const server = await preview({
    root,
    configFile: `${root}vite.config.ts`,
    logLevel: 'warn',
    preview: { host: '127.0.0.1', port: 0 },
  });
  const address = server.httpServer.address();
  if (!address || typeof address === 'string') throw new Error('the pages are not served');
  return Object.assign(server, { url: `http://127.0.0.1:${address.port}` });
}

export interface Who {
  readonly name: string;
  readonly token: string;
}

/** Opens an example in a browser of its own. */
export async function openExample(
  stage: Stage,
  pages: string,
  { folder }: Example,
  server: string,
  documentId: string,
  { name, token }: Who,
): Promise<Page> {
  const page = await stage.enter(pages);
  const query = new URLSearchParams({ server, document: documentId, token, name });
  await page.goto(`/${folder}/index.html?${query}`);
  await connected(page);
  return page;
}

/** Waits until the page has what the server has. */
export async function connected(page: Page): Promise<void> {
  await page
    .locator('[data-state="live"], [data-state="saved"], [data-state="read_only"]')
    .waitFor();
}

/** Writes at the end of the text. */
export async function write(page: Page, { surface }: Example, text: string): Promise<void> {
  await page.locator(surface).first().click();
  await page.keyboard.press('Control+End');
  await page.keyboard.type(text, { delay: 5 });
}

/** The text as a reader sees it, without the others' cursors; one space for any white space. */
export async function read(page: Page, { surface }: Example): Promise<string> {
  const shown = await page
    .locator(surface)
    .first()
    .evaluate((root, cursors) => {
      const copy = root.cloneNode(true) as HTMLElement;
      for (const cursor of copy.querySelectorAll(cursors)) cursor.remove();
      return copy.textContent ?? '';
    }, CURSORS);
  return shown
    .replace(/[\u2060\u200b\ufeff]/g, '')
    .replace(/\s+/g, ' ')
    .trim();
}

/** Each example page, as two people use it, in Chromium. */
import type { Browser, Page } from 'playwright-core';
import type { PreviewServer } from 'vite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Account, Motet } from '../../packages/client/tests/support/motet';
import { launch, Stage } from '../../packages/web/tests/browser';
import * as app from '../../packages/web/tests/pages';
import {
  connected,
  EXAMPLES,
  example,
  openExample,
  read,
  servePages,
  type Who,
  write,
} from './pages';

let motet: Motet;
let browser: Browser;
let pages: PreviewServer & { url: string };
let stage: Stage;
let ada: Account & Who;
let documentId: string;

beforeAll(async () => {
  [browser, pages] = await Promise.all([launch(), servePages()]);
  motet = await new Motet('--allowed-origins', pages.url).start();
  ada = { ...(await motet.register('ada')), name: 'Ada' };
});
beforeEach(async () => {
  stage = new Stage(browser);
  documentId = await motet.create(ada);
});
afterEach(async ({ task }) => {
  await stage.leave(task.result?.state === 'fail' ? task.name : undefined);
  expect(stage.faults).toEqual([]);
});
afterAll(async () => {
  await browser.close();
  await pages.close();
  await motet?.destroy();
});

/** Opens an example of the document under test. */
function open(folder: string, who: Who = ada): Promise<Page> {
  return openExample(stage, pages.url, example(folder), motet.url, documentId, who);
}

const ben = (): Who => ({ name: 'Ben', token: ada.token });

describe.each(EXAMPLES)('$folder', (it) => {
  test(`${it.folder}: two people write, see each other, and have the same`, async () => {
    const a = await open(it.folder);
    await write(a, it, 'Hello');
    const b = await open(it.folder, ben());
    await expect.poll(() => read(b, it)).toBe('Hello');
    await write(b, it, ' from Ben');
    await expect.poll(() => read(a, it)).toBe('Hello from Ben');
    await Promise.all([write(a, it, ' AAAA'), write(b, it, ' BBBB')]);
    await expect
      .poll(async () => {
        const [left, right] = [await read(a, it), await read(b, it)];
        return left === right && left.match(/[AB]/g)?.length === 9;
      })
      .toBe(true);
    await a.getByTitle('Ben').waitFor();
    // The other's name stands at the cursor.
    await expect.poll(() => a.content()).toContain('Ben');

    await a.reload();
    await connected(a);
    await expect.poll(async () => (await read(a, it)) === (await read(b, it))).toBe(true);
  });
});

test('CodeMirror, Monaco, Quill with Yjs and the web application share one text', async () => {
  const email = 'carl@example.com';
  const password = 'correct horse battery';
  const c = await stage.enter(motet.url);
  await app.register(c, { name: 'Carl', email, password });
  await motet.call('POST', `documents/${documentId}/grants`, ada.token, { email, role: 'editor' });
  await app.openDocument(c, `/d/${documentId}`);
  const folders = ['codemirror', 'monaco', 'quill-yjs'];
  const others = await Promise.all(folders.map((folder) => open(folder)));
  const all = async () => [
    (await app.text(c)).trim(),
    ...(await Promise.all(others.map((page, n) => read(page, example(folders[n] ?? ''))))),
  ];

  await app.surface(c).click();
  await c.keyboard.type('Carl');
  let text = 'Carl';
  await expect.poll(all).toEqual([text, text, text, text]);
  for (const [n, page] of others.entries()) {
    await write(page, example(folders[n] ?? ''), ` +${n}`);
    text += ` +${n}`;
    await expect.poll(all).toEqual([text, text, text, text]);
  }
  // The web application shows who is there, and where.
  await expect.poll(() => c.content()).toContain('ada');
  for (const page of others) await page.getByTitle('Carl').waitFor();
});

test('what CodeMirror wrote offline survives a reload, and arrives', async () => {
  const it = example('codemirror');
  const a = await open('codemirror');
  const b = await open('codemirror', ben());
  await write(a, it, 'online');
  await expect.poll(() => read(b, it)).toBe('online');

  await motet.end('SIGKILL');
  await a.locator('[data-state="offline"]').waitFor();
  await write(a, it, ' and offline');
  // At once, with no time for what has not been handed to the browser yet.
  await a.reload();
  await expect.poll(() => read(a, it)).toBe('online and offline');
  await write(a, it, ', twice');

  await motet.start();
  await connected(a);
  await expect.poll(() => read(b, it)).toBe('online and offline, twice');
  const fresh = await open('quill-yjs', ben());
  await expect.poll(() => read(fresh, example('quill-yjs'))).toBe('online and offline, twice');
});

test('a reader is told that it is one', async () => {
  const vic = await motet.register('vic');
  await motet.share(ada, documentId, 'vic', 'viewer');
  const page = await open('tiptap', { name: 'Vic', token: vic.token });
  await page.locator('[data-state="read_only"]').waitFor();
});

test('who has no access is told so', async () => {
  const page = await stage.enter(pages.url);
  const query = new URLSearchParams({ server: motet.url, document: documentId, token: 'nonsense' });
  for (const folder of ['tiptap', 'codemirror']) {
    await page.goto(`/${folder}/index.html?${query}`);
    await page.locator('[data-state="refused"]').waitFor();
  }
});

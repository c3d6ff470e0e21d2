import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { launch, Stage } from './browser';
import {
  createDocument,
  newAccount,
  openDocument,
  register,
  stateLine,
  surface,
  text,
} from './pages';
import { type Server, startServer } from './server';

// What happens at the limits of a server that has narrow ones.

const TOKEN_SECONDS = 2;

let server: Server;
let browser: Browser;
let stage: Stage;

beforeAll(async () => {
  [server, browser] = await Promise.all([
    startServer('--message-bytes-max', '4096', '--access-token-seconds', String(TOKEN_SECONDS)),
    launch(),
  ]);
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

beforeEach(() => {
  stage = new Stage(browser);
});

afterEach(async ({ task }) => {
  await stage.leave(task.result?.state === 'fail' ? task.name : undefined);
  expect(stage.faults).toEqual([]);
});

it('takes back an edit that the server refuses, and shows its text', async () => {
  const page = await stage.enter(server.url);
  await register(page, newAccount('Ada'));
  await createDocument(page, 'Small');
  await surface(page).click();
  await page.keyboard.type('Fits. ');
  await expect.poll(() => stateLine(page)).toBe('Saved');
  const tooMuch = 'much '.repeat(1_000);
  await page.keyboard.insertText(tooMuch);

  const notice = page.getByRole('alert').filter({ hasText: 'An edit was not accepted' });
  await expect.poll(() => notice.locator('pre').textContent()).toBe(tooMuch);
  await notice.getByRole('button', { name: 'Copy the text' }).waitFor();
  await expect.poll(() => text(page)).toBe('Fits.');
  await expect.poll(() => stateLine(page)).toBe('Saved');
  await page.keyboard.type('And on.');
  await expect.poll(() => stateLine(page)).toBe('Saved');
});

it('outlives its access tokens, in two tabs at once', async () => {
  const page = await stage.enter(server.url);
  await register(page, newAccount('Ada'));
  const path = await createDocument(page, 'Long');
  const tab = await page.context().newPage();
  const refreshes = [countRefreshes(page), countRefreshes(tab)];
  await openDocument(tab, path);
  await expect
    .poll(() => Math.min(...refreshes.map((count) => count())), { timeout: 15_000 })
    .toBeGreaterThan(3);

  await surface(page).click();
  await page.keyboard.type('Still here');
  await expect.poll(() => text(tab)).toBe('Still here');
  await expect.poll(() => stateLine(page)).toBe('Saved');
});

/** How often a page gets a fresh access token from here on. */
function countRefreshes(page: Page): () => number {
  let count = 0;
  page.on('response', (response) => {
    if (response.url().endsWith('/auth/refresh') && response.ok()) count += 1;
  });
  return () => count;
}

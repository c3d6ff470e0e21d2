import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { createDocument, newAccount, register, stateLine, surface, text } from './pages';
import { scene } from './scene';

// What happens at the limits of a server that has narrow ones.

const TOKEN_SECONDS = 1;

/** So many refreshes in all: tabs that disagree on the token are found out after a few dozen. */
const REFRESHES = 100;

const stage = scene([
  '--message-bytes-max',
  '4096',
  '--access-token-seconds',
  String(TOKEN_SECONDS),
]);

it('takes back an edit that the server refuses, and shows its text', async () => {
  const page = await stage.enter();
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

it('outlives its access tokens, in several tabs at once', async () => {
  const page = await stage.enter();
  await register(page, newAccount('Ada'));
  await createDocument(page, 'Long');
  const lists = [await page.context().newPage(), await page.context().newPage()];
  const spent = [page, ...lists].map(watchRefreshes);
  for (const list of lists) {
    await list.goto('/');
    await list.getByText('Long').waitFor();
    // As if the user came back to this tab again and again: each time it asks for the list.
    await list.evaluate(() => {
      setInterval(() => window.dispatchEvent(new Event('visibilitychange')), 50);
    });
  }
  await expect.poll(() => spent.map((tokens) => tokens.length >= 2)).toEqual([true, true, true]);
  await expect.poll(() => spent.flat().length).toBeGreaterThan(REFRESHES);
  // A tab that reads what another has just spent would send it again.
  expect(spent.flat()).toEqual([...new Set(spent.flat())]);

  await page.bringToFront();
  await surface(page).click();
  await page.keyboard.type('Still here');
  await expect.poll(() => stateLine(page)).toBe('Saved');
});

/** The refresh tokens that a page uses from here on. */
function watchRefreshes(page: Page): string[] {
  const spent: string[] = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/auth/refresh')) spent.push(request.postDataJSON().refreshToken);
  });
  return spent;
}

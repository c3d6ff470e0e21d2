import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { newClient, newDocument } from './api';
import { choose, createDocument, newAccount, register, surface, text, titles } from './pages';
import { scene } from './scene';

// The list of documents: what is found, made, deleted and brought back.

const stage = scene();

it('finds texts as well as titles, and marks what was found', async () => {
  const ada = await newClient(stage.server, 'Ada');
  await newDocument(ada, 'Programme', [{ insert: 'Four voices enter one by one.\n' }]);
  await newDocument(ada, 'Budget', [{ insert: 'Nothing of the kind.\n' }]);
  const page = await stage.enterAs(ada);
  await expect.poll(() => titles(page)).toEqual(['Budget', 'Programme']);
  await page.getByLabel('Search documents').fill('voices');
  await expect.poll(() => titles(page)).toEqual(['Programme']);
  await expect.poll(() => page.locator('mark').allTextContents()).toEqual(['voices']);

  // What was found is still there on the way back.
  await page.getByRole('link', { name: 'Programme' }).click();
  await expect.poll(() => text(page)).toContain('Four voices');
  await page.goBack();
  await expect.poll(() => titles(page)).toEqual(['Programme']);
  expect(await page.getByLabel('Search documents').inputValue()).toBe('voices');
});

it('tells the user’s own documents from those of others', async () => {
  const [ada, bo] = [await newClient(stage.server, 'Ada'), await newClient(stage.server, 'Bo')];
  await newDocument(ada, 'Hers');
  const { documentId } = await newDocument(bo, 'His');
  await bo.call('POST', `documents/${documentId}/grants`, {
    email: ada.account.email,
    role: 'commenter',
  });
  const page = await stage.enterAs(ada);
  await expect.poll(() => titles(page)).toEqual(['His', 'Hers']);
  await page.getByText('Commenter', { exact: true }).waitFor();
  await filter(page, 'Mine');
  await expect.poll(() => titles(page)).toEqual(['Hers']);
  await filter(page, 'Shared with me');
  await expect.poll(() => titles(page)).toEqual(['His']);

  await choose(page, 'Actions for His', 'Leave');
  await page.getByRole('button', { name: 'Leave' }).click();
  await page.getByText('Nothing shared with you yet').waitFor();
});

it('takes a deletion back at once, later, and not any more', async () => {
  const page = await stage.enter();
  await register(page, newAccount('Orlando'));
  await createDocument(page, 'Madrigals');
  await surface(page).click();
  await page.keyboard.type('Kept');
  await page.getByRole('link', { name: 'Your documents' }).click();

  await choose(page, 'Actions for Madrigals', 'Delete');
  await page.getByText('Your first document').waitFor();
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect.poll(() => titles(page)).toEqual(['Madrigals']);

  await choose(page, 'Actions for Madrigals', 'Delete');
  await page.getByText('Your first document').waitFor();
  await filter(page, 'Trash');
  await page.getByRole('button', { name: 'Restore Madrigals' }).click();
  await page.getByText('The trash is empty').waitFor();
  await filter(page, 'All');
  await page.getByRole('link', { name: 'Madrigals' }).click();
  await expect.poll(() => text(page)).toBe('Kept');

  await page.getByRole('link', { name: 'Your documents' }).click();
  await choose(page, 'Actions for Madrigals', 'Delete');
  await filter(page, 'Trash');
  await page.getByRole('button', { name: 'Delete Madrigals for good' }).click();
  await page.getByRole('button', { name: 'Delete for good', exact: true }).click();
  await page.getByText('The trash is empty').waitFor();
});

it('keeps the list when its next page is refused, and goes on once it is not', async () => {
  const ada = await newClient(stage.server, 'Ada');
  // One more than a page has.
  for (let number = 1; number <= 51; number += 1) await newDocument(ada, `Motet ${number}`);
  const page = await stage.enterAs(ada);
  await expect.poll(() => titles(page)).toHaveLength(50);
  const next = /documents\?.*cursor=/;
  await page.route(next, (route) =>
    route.fulfill({
      status: 429,
      headers: { 'retry-after': '5' },
      json: { error: { code: 'rate_limited', message: 'slow down', requestId: 'r' } },
    }),
  );
  await page.getByRole('button', { name: 'Show more' }).click();
  await page.getByText('Too many requests. Try again in 5 seconds.').waitFor();
  expect(await titles(page)).toHaveLength(50);

  await page.unroute(next);
  await page.getByRole('button', { name: 'Show more' }).click();
  await expect.poll(() => titles(page)).toHaveLength(51);
  expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0);
});

it('begins a document with a template', async () => {
  const page = await stage.enter();
  await register(page, newAccount('Clara'));
  await choose(page, 'New document from a template', 'Meeting notes');
  await expect.poll(() => text(page)).toContain('What we want from this meeting');
  expect(await page.getByLabel('Document title').inputValue()).toBe('Meeting notes');
  expect(await surface(page).locator('li[data-list="unchecked"]').count()).toBe(2);
  expect(await surface(page).locator('strong').first().textContent()).toBe('Date:');
});

async function filter(page: Page, name: string): Promise<void> {
  await page.getByRole('radiogroup', { name: 'Which documents' }).getByText(name).click();
}

import type { Locator, Page } from 'playwright-core';
import { expect } from 'vitest';

export interface Account {
  name: string;
  email: string;
  password: string;
}

let accounts = 0;

/** An account that no other test has. */
export function newAccount(name: string): Account {
  accounts += 1;
  const email = `${name.toLowerCase().replace(/\W+/g, '.')}.${accounts}@example.org`;
  return { name, email, password: 'correct horse battery' };
}

export async function register(page: Page, account: Account): Promise<void> {
  await page.goto('/register');
  await page.getByLabel('Name').fill(account.name);
  await page.getByLabel('E-mail').fill(account.email);
  await page.getByLabel('Password', { exact: true }).fill(account.password);
  await page.getByRole('button', { name: 'Create account' }).click();
  await page.getByRole('heading', { name: 'Documents' }).waitFor();
}

export async function fillSignIn(page: Page, email: string, password: string): Promise<void> {
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Signs in on the sign-in page, and ends on the list of documents. */
export async function signIn(page: Page, account: Account): Promise<void> {
  await page.goto('/sign-in');
  await fillSignIn(page, account.email, account.password);
  await page.getByRole('heading', { name: 'Documents' }).waitFor();
}

export async function signOut(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Your account' }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
}

/** The titles in the list of documents. */
export function titles(page: Page): Promise<string[]> {
  return page.locator('main').getByRole('listitem').getByRole('link').allTextContents();
}

/** Chooses in the menu that opens with a button of this name. */
export async function choose(page: Page, menu: string, item: string): Promise<void> {
  await page.getByRole('button', { name: menu, exact: true }).click();
  await page.getByRole('menuitem', { name: item }).click();
}

/** Makes a document on the list's page and gives it a title. Ends in its editor; returns its path. */
export async function createDocument(page: Page, title: string): Promise<string> {
  await page.getByRole('button', { name: 'New document', exact: true }).click();
  const field = page.getByLabel('Document title');
  await field.fill(title);
  await field.press('Enter');
  await expect.poll(() => page.title()).toBe(`${title} · Motet`);
  await ready(page);
  return new URL(page.url()).pathname;
}

export async function openDocument(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await ready(page);
}

/** Waits until the document has been loaded from the server. */
async function ready(page: Page): Promise<void> {
  await page.locator('[data-state="saved"], [data-state="read_only"]').waitFor();
}

export async function openShareDialog(page: Page): Promise<Locator> {
  await page.getByRole('button', { name: 'Share' }).click();
  return page.getByRole('dialog');
}

/** Shares the document that is open with the account that has this e-mail. */
export async function share(
  page: Page,
  email: string,
  role: 'Can edit' | 'Can comment' | 'Can view',
): Promise<void> {
  const dialog = await openShareDialog(page);
  await dialog.getByLabel('Add a person').fill(email);
  await dialog.getByRole('combobox', { name: 'Role', exact: true }).click();
  await page.getByRole('option', { name: role }).click();
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  await dialog.getByText(email).waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
}

/** The writing surface. */
export function surface(page: Page): Locator {
  return page.getByRole('textbox', { name: 'Document text' });
}

/** The text, line by line. */
export async function text(page: Page): Promise<string> {
  const lines = await surface(page).locator('> *').allTextContents();
  return lines.join('\n').trimEnd();
}

/** What the writing surface shows, formats included, in an order that does not depend on chance. */
export async function markup(page: Page): Promise<string> {
  return surface(page).evaluate((root) => root.innerHTML.replaceAll('\uFEFF', ''));
}

export function stateLine(page: Page): Promise<string | null> {
  return page.getByTestId('state-line').textContent();
}

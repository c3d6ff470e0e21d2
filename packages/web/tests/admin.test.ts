import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { type Client, newAdministrator, newClient, newDocument } from './api';
import { choose, fillSignIn, openDocument, signIn } from './pages';
import { scene } from './scene';

// What administrators see and do in their organization.

const stage = scene();

it('is for administrators only', async () => {
  const bo = await newClient(stage.server, 'Bo');
  const page = await stage.enterAs(bo);
  await page.getByRole('button', { name: 'Your account' }).click();
  await page.getByRole('menuitem', { name: 'Your profile' }).waitFor();
  expect(await page.getByRole('menuitem', { name: 'Administration' }).count()).toBe(0);
  await page.goto('/admin');
  await page.getByRole('heading', { name: 'For administrators only' }).waitFor();
});

it('finds, makes, disables and promotes people', async () => {
  const bo = await newClient(stage.server, 'Bonaventura');
  const [page, there] = await Promise.all([administration(), stage.enter()]);
  await signIn(there, bo.account);
  await page.getByLabel('Search people').fill('bonav');
  await expect.poll(() => rows(page, 'People')).toHaveLength(1);

  await choose(page, 'Actions for Bonaventura', 'Make administrator');
  await page.getByText('Administrator', { exact: true }).waitFor();
  await choose(page, 'Actions for Bonaventura', 'Take administrator’s rights');
  await page.getByText('Administrator', { exact: true }).waitFor({ state: 'hidden' });

  await choose(page, 'Actions for Bonaventura', 'Disable');
  await page.getByRole('button', { name: 'Disable', exact: true }).click();
  await page.getByText('Disabled', { exact: true }).waitFor();
  await there.reload();
  await there.getByRole('heading', { name: 'Sign in' }).waitFor();
  await fillSignIn(there, bo.account.email, bo.account.password);
  await there.getByText('This account has been disabled.').waitFor();
  await choose(page, 'Actions for Bonaventura', 'Enable');
  await page.getByText('Disabled', { exact: true }).waitFor({ state: 'hidden' });
  await signIn(there, bo.account);

  await page.getByRole('button', { name: 'New account' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('Francesca');
  await dialog.getByLabel('E-mail').fill(bo.account.email);
  await dialog.getByLabel('First password').fill('la liberazione');
  await dialog.getByRole('button', { name: 'Create account' }).click();
  await dialog.getByText('There is already an account with this e-mail.').waitFor();
  await dialog.getByLabel('E-mail').fill('francesca@example.org');
  await dialog.getByRole('button', { name: 'Create account' }).click();
  await dialog.waitFor({ state: 'hidden' });
  await page.getByLabel('Search people').fill('francesca@');
  await expect.poll(() => rows(page, 'People')).toHaveLength(1);
});

it('keeps groups', async () => {
  const bo = await newClient(stage.server, 'Bartolomea');
  const page = await administration('groups');
  await page.getByLabel('Name of the new group').fill('Altos');
  await page.getByRole('button', { name: 'New group' }).click();
  await page.getByText('0 members').waitFor();
  await page.getByRole('button', { name: 'Members of Altos' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Nobody belongs to this group yet.').waitFor();
  await dialog.getByRole('combobox', { name: 'Add a person' }).fill('bartolomea');
  await page.getByRole('option', { name: bo.account.name }).click();
  await dialog.getByRole('button', { name: 'Remove Bartolomea from the group' }).waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  await page.getByText('1 member', { exact: true }).waitFor();

  await choose(page, 'Actions for Altos', 'Rename');
  await page.getByLabel('Name', { exact: true }).fill('Contraltos');
  await page.getByRole('button', { name: 'Rename' }).click();
  await choose(page, 'Actions for Contraltos', 'Delete');
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.getByText('There are no groups yet.').waitFor();
});

it('sees who has a document open, and ends that', async () => {
  const bo = await newClient(stage.server, 'Benedetta');
  const { path } = await newDocument(bo, 'Letters');
  const there = await stage.enterAs(bo);
  await openDocument(there, path);
  const page = await administration('sessions');
  await page.getByText('in Letters').waitFor();
  await page.getByRole('button', { name: 'End the session of Benedetta in Letters' }).click();
  await page.getByRole('button', { name: 'End session' }).click();
  await page.getByText('in Letters').waitFor({ state: 'hidden' });
  await there.getByRole('heading', { name: 'You no longer have access' }).waitFor();
});

it('shows the limits, and renames the organization', async () => {
  const page = await administration('limits');
  await page.getByText('Sessions per document').waitFor();
  await page.getByRole('tab', { name: 'Organization' }).click();
  await page.getByLabel('Name').fill('Cappella');
  await page.getByRole('button', { name: 'Rename' }).click();
  await page.getByRole('button', { name: 'Saved' }).waitFor();
  await page.getByRole('main').getByText('Cappella', { exact: true }).waitFor();
});

it('looks through what happened', async () => {
  const bo = await newClient(stage.server, 'Beatrice');
  await newDocument(bo, 'Accounts');
  await newDocument(bo, 'Receipts');
  const page = await administration('audit');
  const entries = page.getByRole('list', { name: 'What happened' }).getByRole('listitem');
  await entries.filter({ hasText: 'Beatrice created Receipts' }).waitFor();

  await page.getByRole('combobox', { name: 'What happened' }).fill('Created');
  await page.getByRole('option', { name: 'Created', exact: true }).click();
  await page.getByRole('combobox', { name: 'Find a person' }).fill('beatrice');
  await page.getByRole('option', { name: 'Beatrice' }).click();
  await expect.poll(() => entries.count()).toBe(2);
  await page.getByRole('button', { name: 'Accounts', exact: true }).click();
  await expect.poll(() => entries.count()).toBe(1);
  await page.getByRole('button', { name: 'Not only about Accounts' }).click();
  await expect.poll(() => entries.count()).toBeGreaterThanOrEqual(2);
});

/** A window of a new administrator, with a part of the administration in it. */
async function administration(part = ''): Promise<Page> {
  const ada: Client = await newAdministrator(stage.server, 'Ada');
  const page = await stage.enterAs(ada);
  await choose(page, 'Your account', 'Administration');
  await page.getByRole('heading', { name: 'Administration' }).waitFor();
  if (part !== '') await page.goto(`/admin/${part}`);
  return page;
}

function rows(page: Page, list: string): Promise<string[]> {
  return page.getByRole('list', { name: list }).getByRole('listitem').allTextContents();
}

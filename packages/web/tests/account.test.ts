import { readFile } from 'node:fs/promises';
import type { Locator, Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { newClient, newDocument } from './api';
import {
  createDocument,
  fillSignIn,
  newAccount,
  openDocument,
  register,
  share,
  signIn,
  signOut,
  surface,
} from './pages';
import { scene } from './scene';

// The user's own account: how they are shown, how they sign in, their keys and their data.

const stage = scene();

it('shows a new name, colour and picture wherever the person is', async () => {
  const [a, b] = await Promise.all([stage.enter(), stage.enter()]);
  const bo = newAccount('Bo');
  await Promise.all([register(a, newAccount('Ada')), register(b, bo)]);
  const path = await createDocument(a, 'Together');
  await share(a, bo.email, 'Can edit');

  await a.goto('/profile');
  await a.getByLabel('Name', { exact: true }).fill('Ada Lovelace');
  await a.getByRole('button', { name: 'Save name' }).click();
  await a.getByRole('button', { name: 'Saved' }).waitFor();
  // Not check(): it wants the circle to be filled in the same task, and React fills it in one of the next.
  await a.getByRole('radio', { name: 'Teal' }).click({ force: true });
  await expect.poll(() => a.getByRole('radio', { name: 'Teal' }).isChecked()).toBe(true);
  await a.getByLabel('Picture', { exact: true }).setInputFiles({
    name: 'me.png',
    mimeType: 'image/png',
    buffer: await picture(a),
  });
  await a.getByRole('button', { name: 'Change picture' }).waitFor();
  await expect.poll(() => shownPictures(a.getByRole('button', { name: 'Your account' }))).toBe(1);

  // In the list, beside the caret, among those who are here, and in the share dialog.
  await b.goto('/');
  await b.getByText('Ada Lovelace').waitFor();
  await expect.poll(() => shownPictures(b.getByRole('listitem'))).toBe(1);
  await Promise.all([openDocument(a, path), openDocument(b, path)]);
  const here = b.getByRole('list', { name: 'Also here' });
  await here.getByRole('button', { name: 'Ada Lovelace' }).waitFor();
  await expect.poll(() => shownPictures(here)).toBe(1);
  await surface(a).click();
  await a.keyboard.type('x');
  await expect
    .poll(() =>
      b.locator('.ql-cursor-caret').evaluate((caret) => getComputedStyle(caret).backgroundColor),
    )
    .toBe('rgb(5, 131, 126)');
  await a.getByRole('button', { name: 'Share' }).click();
  await expect.poll(() => shownPictures(a.getByRole('dialog'))).toBe(1);

  await a.goto('/profile');
  await a.getByRole('button', { name: 'Remove' }).click();
  await a.getByRole('button', { name: 'Upload picture' }).waitFor();
});

it('changes the password, and signs out everywhere else', async () => {
  const account = newAccount('Hildegard');
  const [page, other] = await Promise.all([stage.enter(), stage.enter()]);
  await register(page, account);
  await signIn(other, account);
  await page.goto('/profile');
  await page.getByLabel('Present password').fill('wrong password');
  await page.getByLabel('New password').fill('viriditas forever');
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.getByText('This is not the password.').waitFor();
  await page.getByLabel('Present password').fill(account.password);
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.getByText('Your password is changed.').waitFor();

  await other.reload();
  await other.getByRole('heading', { name: 'Sign in' }).waitFor();
  await fillSignIn(other, account.email, account.password);
  await other.getByText('do not belong to an account').waitFor();
  await fillSignIn(other, account.email, 'viriditas forever');
  await other.getByRole('heading', { name: 'Documents' }).waitFor();
  // Here the session has gone on.
  await page.goto('/');
  await createDocument(page, 'Still signed in');
});

it('makes a key for programs, shows it once, and revokes it', async () => {
  const page = await stage.enter();
  await register(page, newAccount('Guillaume'));
  await page.goto('/profile');
  await page.getByText('You have no keys.').waitFor();
  await page.getByRole('button', { name: 'New key' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Read').uncheck();
  await dialog.getByRole('button', { name: 'Create key' }).click();
  await dialog.getByText('Say what the key is for.').waitFor();
  await dialog.getByText('Choose what it may do.').waitFor();
  // The profile behind the dialog has a field of that name, too.
  const isFocused = (field: Element) => field === document.activeElement;
  expect(await dialog.getByLabel('Name').evaluate(isFocused)).toBe(true);
  await dialog.getByLabel('Name').fill('Backup');
  for (const scope of ['Read', 'Write', 'Manage', 'Account']) {
    await dialog.getByLabel(scope).check();
  }
  await dialog.getByRole('button', { name: 'Create key' }).click();
  const key = await dialog.getByRole('textbox', { name: 'API key' }).inputValue();
  expect(key).toMatch(/^motet_/);
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByText(/May read, write, manage, account · expires/).waitFor();
  const opener = page.getByRole('button', { name: 'New key' });
  await expect.poll(() => opener.evaluate(isFocused)).toBe(true);
  expect(await page.content()).not.toContain(key);

  const list = () =>
    fetch(`${stage.server.url}/api/v1/documents`, { headers: { authorization: `Bearer ${key}` } });
  expect((await list()).status).toBe(200);
  await page.getByRole('button', { name: 'Revoke the key Backup' }).click();
  await page.getByRole('button', { name: 'Revoke', exact: true }).click();
  await page.getByText('You have no keys.').waitFor();
  expect((await list()).status).toBe(401);
});

it('gives the user everything that is kept, and erases it', async () => {
  const [ada, bo] = await Promise.all([
    newClient(stage.server, 'Ada'),
    newClient(stage.server, 'Bo'),
  ]);
  await newDocument(ada, 'Memoirs', [{ insert: 'It began so.\n' }]);
  const page = await stage.enterAs(ada);
  await page.goto('/profile');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export my data' }).click(),
  ]);
  const everything = await readFile(await download.path(), 'utf8');
  expect(everything).toContain('Memoirs');
  expect(everything).toContain(ada.account.email);

  await page.getByRole('button', { name: 'Erase my account' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Erase for ever' }).click();
  await dialog.getByText('Enter your password.').waitFor();
  await dialog.getByText('Type “erase”.').waitFor();
  await dialog.getByLabel('Give my documents to').fill(bo.account.email);
  await dialog.getByLabel('Your password').fill('wrong password');
  await dialog.getByLabel('Type “erase” to confirm').fill('erase');
  await dialog.getByRole('button', { name: 'Erase for ever' }).click();
  await dialog.getByText('This is not the password.').waitFor();
  await dialog.getByLabel('Your password').fill(ada.account.password);
  await dialog.getByRole('button', { name: 'Erase for ever' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await fillSignIn(page, ada.account.email, ada.account.password);
  await page.getByText('do not belong to an account').waitFor();
  const { documents } = await bo.call<{ documents: Array<{ title: string }> }>('GET', 'documents');
  expect(documents.map(({ title }) => title)).toEqual(['Memoirs']);
});

it('says how long to wait after too many attempts', async () => {
  const account = newAccount('Salome');
  const page = await stage.enter();
  await register(page, account);
  await signOut(page);
  await expect
    .poll(async () => {
      await fillSignIn(page, account.email, 'wrong password');
      await page.getByRole('button', { name: 'Sign in' }).and(page.locator(':enabled')).waitFor();
      return page.locator('form').textContent();
    })
    .toMatch(/Too many attempts\. Try again in \d+ (second|minute)/);
});

/** How many pictures of people are drawn there. */
function shownPictures(place: Locator): Promise<number> {
  return place
    .locator('img')
    .evaluateAll(
      (all) => all.filter((one) => (one as HTMLImageElement).naturalWidth === 256).length,
    );
}

/** A picture as a camera makes it: broader than high, and larger than what is shown. */
async function picture(page: Page): Promise<Buffer> {
  const address = await page.evaluate(() => {
    const canvas = document.createElement('canvas');
    canvas.width = 640;
    canvas.height = 400;
    canvas.getContext('2d')?.fillRect(200, 100, 200, 200);
    return canvas.toDataURL('image/png');
  });
  return Buffer.from(address.replace(/.*,/, ''), 'base64');
}

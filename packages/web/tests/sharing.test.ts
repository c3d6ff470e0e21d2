import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { newAdministrator, newClient, newDocument } from './api';
import {
  choose,
  fillSignIn,
  openDocument,
  openShareDialog,
  stateLine,
  surface,
  text,
  titles,
} from './pages';
import { scene } from './scene';

// Who may open a document: people, groups, everyone, and those who have a link.

const stage = scene();

it('shares with groups and with everyone in the organization', async () => {
  const [ada, bo, cleo] = await Promise.all([
    newAdministrator(stage.server, 'Ada'),
    newClient(stage.server, 'Bo'),
    newClient(stage.server, 'Cleo'),
  ]);
  const group = await ada.call('POST', 'groups', { name: 'Sopranos' });
  await ada.call('PUT', `groups/${group.groupId}/members/${bo.userId}`);
  const { path } = await newDocument(ada, 'Psalms');
  const page = await stage.enterAs(ada);
  await openDocument(page, path);
  const dialog = await openShareDialog(page);
  await dialog.getByLabel('Add a person or group').fill('Sopranos');
  await page.keyboard.press('Escape');
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  await dialog.getByRole('combobox', { name: 'Role of Sopranos' }).waitFor();

  const there = await stage.enterAs(bo);
  await openDocument(there, path);
  await there.getByRole('toolbar').waitFor();

  const elsewhere = await stage.enterAs(cleo);
  await elsewhere.goto(path);
  await elsewhere.getByRole('heading', { name: 'This document is not here' }).waitFor();
  await pick(page, 'Role of everyone in the organization', 'Can comment');
  await expect.poll(() => ada.status('GET', `documents/${path.slice(3)}`)).toBe(200);
  await expect.poll(() => cleo.status('GET', `documents/${path.slice(3)}`)).toBe(200);
  await openDocument(elsewhere, path);
  expect(await stateLine(elsewhere)).toBe('Read only');

  await dialog.getByRole('button', { name: 'Remove Sopranos' }).click();
  // Bo is still somebody in the organization.
  await there.getByText('You can no longer edit this document').waitFor();
  await expect.poll(() => stateLine(there)).toBe('Read only');
});

it('shows at once when the right to write is taken away and given back', async () => {
  const [ada, bo] = await Promise.all([
    newClient(stage.server, 'Ada'),
    newClient(stage.server, 'Bo'),
  ]);
  const { path, documentId } = await newDocument(ada, 'Fugue', [{ insert: 'Subject' }]);
  const give = (role: string) =>
    ada.call('POST', `documents/${documentId}/grants`, { email: bo.account.email, role });
  await give('editor');
  const page = await stage.enterAs(bo);
  await openDocument(page, path);
  await page.getByRole('toolbar').waitFor();

  await give('commenter');
  await page.getByText('You can no longer edit this document').waitFor();
  await page.getByText('You can read this document, but not edit it.').waitFor();
  expect(await page.getByRole('toolbar').count()).toBe(0);
  await surface(page).click();
  await page.keyboard.type('No');
  expect(await text(page)).toBe('Subject');

  await give('editor');
  await page.getByText('You can edit this document now').waitFor();
  await page.getByRole('toolbar').waitFor();
  await surface(page).click();
  await page.keyboard.press('Control+End');
  await page.keyboard.type(' and answer');
  await expect.poll(() => stateLine(page)).toBe('Saved');

  await ada.call('DELETE', `documents/${documentId}/grants/${bo.userId}`);
  await page.getByRole('heading', { name: 'You no longer have access' }).waitFor();
});

describe('a share link', () => {
  it('lets in a guest, who sees the document and nothing else, until it is revoked', async () => {
    const ada = await newClient(stage.server, 'Ada');
    const { path } = await newDocument(ada, 'Open score', [{ insert: 'Come in.' }]);
    const page = await stage.enterAs(ada);
    await openDocument(page, path);
    const link = await createLink(page, { role: 'Can edit' });

    const guest = await stage.enter();
    await guest.goto(link);
    await guest.getByRole('heading', { name: 'Open score' }).waitFor();
    await guest.getByRole('button', { name: 'Continue as guest' }).click();
    await guest.getByText('Enter the name that others should see.').waitFor();
    await guest.getByLabel('Your name').fill('Ziggy');
    await guest.getByRole('button', { name: 'Continue as guest' }).click();
    await expect.poll(() => text(guest)).toBe('Come in.');
    await surface(guest).click();
    await guest.keyboard.press('Control+End');
    await guest.keyboard.type(' Thanks.');
    await expect.poll(() => stateLine(guest)).toBe('Saved');
    await expect.poll(() => text(page)).toBe('Come in. Thanks.');
    expect(await guest.getByRole('button', { name: 'Share' }).count()).toBe(0);
    expect(await guest.getByRole('link', { name: 'Your documents' }).count()).toBe(0);
    await guest.getByRole('button', { name: 'Your account' }).click();
    await guest.getByText('Guest', { exact: true }).waitFor();
    expect(await guest.getByRole('menuitem').allTextContents()).toEqual(['Leave, or sign in']);

    // Kept over a reload, and kept out of everything else.
    await guest.reload();
    await expect.poll(() => text(guest)).toBe('Come in. Thanks.');
    for (const elsewhere of ['/', '/profile', '/admin']) {
      await guest.goto(elsewhere);
      await guest.getByRole('heading', { name: 'You are here as a guest' }).waitFor();
    }
    await guest.goto(link);
    await expect.poll(() => text(guest)).toBe('Come in. Thanks.');

    const dialog = page.getByRole('dialog');
    await dialog.getByRole('tab', { name: 'People' }).click();
    await dialog.getByText('Came by a link').waitFor();
    await dialog.getByRole('tab', { name: 'Links' }).click();
    await dialog.getByRole('button', { name: /^Revoke/ }).click();
    await dialog.getByText('There are no links yet.').waitFor();
    await guest.getByRole('heading', { name: 'You no longer have access' }).waitFor();
    await guest.goto(link);
    await guest.getByRole('heading', { name: 'This link leads nowhere' }).waitFor();
  });

  it('does not let in again whom the owner has taken out', async () => {
    const [ada, bo] = await Promise.all([
      newClient(stage.server, 'Ada'),
      newClient(stage.server, 'Bo'),
    ]);
    const { documentId, path } = await newDocument(ada, 'Open score', [{ insert: 'Come in.' }]);
    const { token } = await ada.call('POST', `documents/${documentId}/links`, { role: 'viewer' });
    const theirs = await stage.enterAs(bo);
    await theirs.goto(`${stage.server.url}/l/${token}`);
    await expect.poll(() => text(theirs)).toBe('Come in.');

    const page = await stage.enterAs(ada);
    await openDocument(page, path);
    await page.getByRole('button', { name: 'Share' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Remove Bo' }).click();
    await dialog.getByText('whom you removed: Bo.').waitFor();
    await theirs.getByRole('heading', { name: 'You no longer have access' }).waitFor();
    await theirs.goto(`${stage.server.url}/l/${token}`);
    await theirs.getByRole('heading', { name: 'You were taken out' }).waitFor();
  });

  it('asks for its password, and brings people with an account to the document', async () => {
    const [ada, bo] = await Promise.all([
      newClient(stage.server, 'Ada'),
      newClient(stage.server, 'Bo'),
    ]);
    const { path } = await newDocument(ada, 'Closed score', [{ insert: 'Well done.\n' }]);
    const page = await stage.enterAs(ada);
    await openDocument(page, path);
    const link = await createLink(page, {
      role: 'Can comment',
      expires: 'In a week',
      password: 'sesame',
    });
    await page.getByText('expires in 7 days').or(page.getByText('expires next week')).waitFor();

    const there = await stage.enter();
    await there.goto(link);
    await there.getByRole('heading', { name: 'A shared document' }).waitFor();
    await there.getByRole('link', { name: 'Sign in with an account instead' }).click();
    await fillSignIn(there, bo.account.email, bo.account.password);
    await there.getByLabel('Password of the link').fill('mustard');
    await there.getByRole('button', { name: 'Open the document' }).click();
    await there.getByText('This is not the password.').waitFor();
    await there.getByLabel('Password of the link').fill('sesame');
    await there.getByRole('button', { name: 'Open the document' }).click();
    await expect.poll(() => text(there)).toBe('Well done.');
    expect(await stateLine(there)).toBe('Read only');
    await there.getByRole('link', { name: 'Your documents' }).click();
    await expect.poll(() => titles(there)).toContain('Closed score');
  });

  it('brings somebody who is signed in to the document without a question', async () => {
    const [ada, bo] = await Promise.all([
      newClient(stage.server, 'Ada'),
      newClient(stage.server, 'Bo'),
    ]);
    const { documentId } = await newDocument(ada, 'Score', [{ insert: 'Sing.\n' }]);
    const { token } = await ada.call('POST', `documents/${documentId}/links`, { role: 'viewer' });
    const page = await stage.enterAs(bo);
    await page.goto(`/l/${token}`);
    await expect.poll(() => text(page)).toBe('Sing.');
    expect(new URL(page.url()).pathname).toBe(`/d/${documentId}`);
  });

  it('shows that it has expired', async () => {
    const ada = await newClient(stage.server, 'Ada');
    const { documentId, path } = await newDocument(ada, 'Once');
    const soon = new Date(Date.now() + 1_500).toISOString();
    const { token } = await ada.call('POST', `documents/${documentId}/links`, {
      role: 'viewer',
      expiresAt: soon,
    });
    const page = await stage.enterAs(ada);
    await openDocument(page, path);
    await expect
      .poll(async () => (await fetch(`${stage.server.url}/api/v1/links/${token}`)).status)
      .toBe(404);
    const dialog = await openShareDialog(page);
    await dialog.getByRole('tab', { name: 'Links' }).click();
    await dialog.getByText('Expired', { exact: true }).waitFor();
    expect(await dialog.getByRole('button', { name: 'Copy' }).count()).toBe(0);
  });
});

it('tells the owner who did what with a document', async () => {
  const [ada, bo] = await Promise.all([
    newClient(stage.server, 'Ada'),
    newClient(stage.server, 'Bo'),
  ]);
  const { documentId } = await newDocument(ada, 'Diary');
  const grant = { email: bo.account.email, role: 'viewer' };
  await ada.call('POST', `documents/${documentId}/grants`, grant);
  const page = await stage.enterAs(ada);
  await choose(page, 'Actions for Diary', 'Activity');
  const entries = page.getByRole('list', { name: 'What happened' }).getByRole('listitem');
  await entries.filter({ hasText: 'Ada let Bo view Diary' }).waitFor();
  await entries.filter({ hasText: 'Ada created Diary' }).waitFor();
});

async function pick(page: Page, list: string, option: string): Promise<void> {
  await page.getByRole('combobox', { name: list }).click();
  await page.getByRole('option', { name: option }).click();
}

interface LinkWishes {
  role: string;
  expires?: string;
  password?: string;
}

/** Makes a link in the share dialog, copies it, and gives its address. The dialog stays open. */
async function createLink(page: Page, { role, expires, password }: LinkWishes): Promise<string> {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  const dialog = await openShareDialog(page);
  await dialog.getByRole('tab', { name: 'Links' }).click();
  await dialog.getByText('There are no links yet.').waitFor();
  await dialog.getByRole('button', { name: 'New link' }).click();
  await pick(page, 'Whoever has the link', role);
  if (expires) await pick(page, 'Expires', expires);
  if (password) await dialog.getByLabel('Password', { exact: true }).fill(password);
  await dialog.getByRole('button', { name: 'Create link' }).click();
  await dialog.getByRole('button', { name: 'Copy' }).click();
  await dialog.getByRole('button', { name: 'Copied' }).waitFor();
  return page.evaluate(() => navigator.clipboard.readText());
}

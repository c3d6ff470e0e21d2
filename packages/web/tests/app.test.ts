import type { Page } from 'playwright-core';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openLine } from './line';
import {
  createDocument,
  fillSignIn,
  markup,
  newAccount,
  openDocument,
  openShareDialog,
  register,
  share,
  signOut,
  stateLine,
  surface,
  text,
  titles,
} from './pages';
import { scene } from './scene';

// The application as people use it: real browsers against the real server.

const stage = scene();

describe('writing together', () => {
  it('ends in the same document, also after one was away', async () => {
    const [ada, josquin] = [newAccount('Ada Lovelace'), newAccount('Josquin Desprez')];
    const line = await openLine(stage.server.port);
    onTestFinished(() => line.close());
    const [a, b] = await Promise.all([stage.enter(), stage.enter(line.url)]);
    await Promise.all([register(a, ada), register(b, josquin)]);
    const path = await createDocument(a, 'Programme notes');
    await share(a, josquin.email, 'Can edit');

    await b.reload();
    await b.getByRole('link', { name: 'Programme notes' }).click();
    await surface(a).click();
    await a.keyboard.type('Four voices.');
    await expect.poll(() => text(b)).toBe('Four voices.');

    // Both in the same paragraph, at the same time.
    await surface(b).click();
    await Promise.all([a.keyboard.press('Home'), b.keyboard.press('End')]);
    await Promise.all([a.keyboard.type('Listen to this: '), b.keyboard.type(' One piece.')]);
    const together = 'Listen to this: Four voices. One piece.';
    await expect.poll(() => both(a, b, text)).toEqual([together, together]);
    await expect.poll(() => names(a)).toEqual([josquin.name]);
    await expect.poll(() => names(b)).toEqual([ada.name]);
    await expect.poll(() => people(a)).toEqual([`${josquin.name}: go to their cursor`]);

    await a.keyboard.press('Home');
    await a.keyboard.press('Control+Shift+ArrowRight');
    await a.keyboard.press('Control+b');
    await b.keyboard.press('Control+Shift+ArrowLeft');
    await b.getByRole('button', { name: 'Italic' }).click();
    await same(a, b);
    await expect.poll(() => surface(a).locator('strong').textContent()).toContain('Listen');
    await expect.poll(() => surface(a).locator('em').textContent()).toContain('.');

    // Josquin's network fails; both go on.
    line.cut();
    await b.context().setOffline(true);
    await b.keyboard.press('End');
    await b.keyboard.type(' Away');
    await a.keyboard.press('End');
    await a.keyboard.type(' Here');
    await a.getByRole('button', { name: 'Bulleted list' }).click();
    await expect.poll(() => stateLine(b)).toBe('Offline – 5 edits waiting');
    await expect.poll(() => stateLine(a)).toBe('Saved');
    expect(await text(b)).toBe(`${together} Away`);
    await expect.poll(() => names(a)).toEqual([]);

    line.mend();
    await b.context().setOffline(false);
    await expect.poll(() => stateLine(b)).toBe('Saved');
    await same(a, b);
    expect(await text(a)).toContain(' Away');
    expect(await text(a)).toContain(' Here');

    const before = await markup(a);
    await Promise.all([openDocument(a, path), openDocument(b, path)]);
    expect(await both(a, b, markup)).toEqual([before, before]);
  });

  it('goes on where WebSockets are blocked, and returns to them unnoticed', async () => {
    const [ada, josquin] = [newAccount('Ada'), newAccount('Josquin')];
    const lines = await Promise.all([openLine(stage.server.port), openLine(stage.server.port)]);
    const openSockets = () => lines.map((line) => line.openSockets);
    for (const line of lines) {
      line.blocksSockets = true;
      onTestFinished(() => line.close());
    }
    const [a, b] = (await Promise.all(lines.map((line) => stage.enter(line.url)))) as [Page, Page];
    await Promise.all([register(a, ada), register(b, josquin)]);
    const path = await createDocument(a, 'Behind walls');
    await share(a, josquin.email, 'Can edit');
    await openDocument(b, path);
    await surface(a).click();
    await a.keyboard.type('Ada writes.');
    await expect.poll(() => text(b)).toBe('Ada writes.');
    await surface(b).click();
    await Promise.all([a.keyboard.press('Home'), b.keyboard.press('End')]);
    await Promise.all([a.keyboard.type('Here '), b.keyboard.type(' Josquin too.')]);
    const together = 'Here Ada writes. Josquin too.';
    await expect.poll(() => both(a, b, text)).toEqual([together, together]);
    await expect.poll(() => names(b)).toEqual([ada.name]);
    expect(openSockets()).toEqual([0, 0]);

    for (const line of lines) line.blocksSockets = false;
    const states = new Set<string | null>();
    let typed = '';
    while (openSockets().includes(0)) {
      await a.keyboard.type('.', { delay: 50 });
      typed += '.';
      states.add(await stateLine(a)).add(await stateLine(b));
    }
    await expect
      .poll(() => both(a, b, text))
      .toEqual(Array(2).fill(`Here ${typed}${together.slice(5)}`));
    await expect.poll(() => both(a, b, stateLine)).toEqual(['Saved', 'Saved']);
    await expect.poll(() => names(b)).toEqual([ada.name]);
    states.delete('Saved');
    states.delete('Saving…');
    expect([...states]).toEqual([]);
  });

  it('undoes only what was done here', async () => {
    const [a, b] = await pair('Can edit');
    await surface(a).click();
    await a.keyboard.type('mine ');
    await expect.poll(() => text(b)).toBe('mine');
    await surface(b).click();
    await b.keyboard.press('End');
    await b.keyboard.type('theirs');
    await expect.poll(() => text(a)).toBe('mine theirs');

    await a.keyboard.press('Control+z');
    await expect.poll(() => both(a, b, text)).toEqual(['theirs', 'theirs']);
    await a.keyboard.press('Control+z');
    await a.getByRole('button', { name: 'Redo' }).click();
    await expect.poll(() => both(a, b, text)).toEqual(['mine theirs', 'mine theirs']);
  });

  it('leaves an input method alone', async () => {
    const [a, b] = await pair('Can edit');
    await surface(a).click();
    await a.keyboard.type('abc');
    await expect.poll(() => text(b)).toBe('abc');

    await surface(b).click();
    await b.keyboard.press('End');
    const keyboard = await b.context().newCDPSession(b);
    const compose = (composed: string) =>
      keyboard.send('Input.imeSetComposition', {
        text: composed,
        selectionStart: composed.length,
        selectionEnd: composed.length,
      });
    await compose('k');
    await a.keyboard.press('Home');
    await a.keyboard.type('> ');
    await compose('か');
    await a.keyboard.press('End');
    await a.keyboard.type('!');
    await compose('かな');
    await keyboard.send('Input.insertText', { text: '仮名' });
    const together = '> abc!仮名';
    await expect.poll(() => both(a, b, text)).toEqual([together, together]);
    await b.keyboard.type('.');
    await expect.poll(() => both(a, b, text)).toEqual([`${together}.`, `${together}.`]);
  });

  it('lets a viewer read along, write once allowed, and leave when withdrawn', async () => {
    const [a, b] = await pair('Can view');
    await expect.poll(() => stateLine(b)).toBe('Read only');
    expect(await b.getByRole('toolbar').count()).toBe(0);
    expect(await b.getByLabel('Document title').count()).toBe(0);
    await surface(b).click();
    await b.keyboard.type('not allowed');
    await surface(a).click();
    await a.keyboard.type('Read this');
    await expect.poll(() => both(a, b, text)).toEqual(['Read this', 'Read this']);

    const dialog = await openShareDialog(a);
    await dialog.getByRole('combobox', { name: 'Role of Bo' }).click();
    await a.getByRole('option', { name: 'Can edit' }).click();
    await b.getByRole('toolbar').waitFor();
    await surface(b).click();
    await b.keyboard.press('End');
    await b.keyboard.type(' too');
    await expect.poll(() => text(a)).toBe('Read this too');

    await dialog.getByRole('button', { name: 'Remove Bo' }).click();
    await b.getByRole('heading', { name: 'You no longer have access' }).waitFor();
    await b.getByRole('link', { name: 'Go to your documents' }).click();
    await b.getByText('Your first document').waitFor();
  });
});

describe('accounts', () => {
  it('says what is wrong, at the field that it is about', async () => {
    const [page, account] = [await stage.enter(), newAccount('Clara')];
    await page.goto('/register');
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByText('Enter the name that others should see.').waitFor();
    expect(await page.getByLabel('Name').getAttribute('aria-invalid')).toBe('true');
    expect(await focused(page)).toBe('name');
    await page.getByLabel('Name').fill('Clara');
    await page.getByLabel('E-mail').fill('clara');
    await page.getByLabel('Password', { exact: true }).fill('short');
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByText('This is not an e-mail address.').waitFor();
    await page.getByText('Use at least 8 characters.').waitFor();

    await register(page, account);
    await signOut(page);
    await fillSignIn(page, account.email, 'wrong password');
    await page.getByText('do not belong to an account').waitFor();
    expect(await focused(page)).toBe('password');

    await page.getByRole('link', { name: 'Create an account' }).click();
    await page.getByLabel('Name').fill('Another');
    await page.getByLabel('E-mail').fill(account.email);
    await page.getByLabel('Password', { exact: true }).fill(account.password);
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByText('There is already an account with this e-mail.').waitFor();
    expect(await focused(page)).toBe('email');
  });

  it('leads back to the page that was asked for, and keeps nothing after signing out', async () => {
    const [page, account] = [await stage.enter(), newAccount('Hildegard')];
    await register(page, account);
    const path = await createDocument(page, 'Scivias');
    await surface(page).click();
    await page.keyboard.type('Kept');
    await expect.poll(() => stateLine(page)).toBe('Saved');
    await expect.poll(() => storedRows(page)).toBe(1);
    const other = await page.context().newPage();
    await other.goto('/');
    await other.getByText('Scivias').waitFor();
    await page.bringToFront();

    await signOut(page);
    await other.getByRole('heading', { name: 'Sign in' }).waitFor();
    await expect.poll(() => storedRows(page)).toBe(0);
    const left = await page.context().storageState({ indexedDB: true });
    expect(JSON.stringify(left)).not.toMatch(/refreshToken|Kept|Scivias/);

    await page.goto(path);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await fillSignIn(page, account.email, account.password);
    await expect.poll(() => text(page)).toBe('Kept');
    expect(new URL(page.url()).pathname).toBe(path);
  });
});

describe('the list of documents', () => {
  it('creates, finds, renames and deletes', async () => {
    const page = await stage.enter();
    await register(page, newAccount('Orlando'));
    await page.getByText('Your first document').waitFor();
    await createDocument(page, 'Madrigals');
    await page.getByRole('link', { name: 'Your documents' }).click();
    const path = await createDocument(page, 'Motets');
    const open = await page.context().newPage();
    await openDocument(open, path);
    // A window behind another is drawn once a second only.
    await page.bringToFront();

    await page.getByRole('link', { name: 'Your documents' }).click();
    await expect.poll(() => titles(page)).toEqual(['Motets', 'Madrigals']);
    await page.getByLabel('Search documents').fill('MADRI');
    await expect.poll(() => titles(page)).toEqual(['Madrigals']);
    await page.getByLabel('Search documents').fill('masses');
    await page.getByText('No document fits “masses”.').waitFor();
    await page.getByRole('button', { name: 'Clear the search' }).click();

    await page.getByRole('button', { name: 'Actions for Madrigals' }).click();
    await page.getByRole('menuitem', { name: 'Rename' }).click();
    await page.getByLabel('Title').fill('Chansons');
    await page.keyboard.press('Enter');
    await expect.poll(() => titles(page)).toEqual(['Chansons', 'Motets']);
    const menu = page.getByRole('button', { name: 'Actions for Chansons' });
    await expect.poll(() => menu.evaluate((it) => it === document.activeElement)).toBe(true);

    await page.getByRole('button', { name: 'Actions for Motets' }).click();
    await page.getByRole('menuitem', { name: 'Delete' }).click();
    await expect.poll(() => titles(page)).toEqual(['Chansons']);
    await open.getByRole('heading', { name: 'This document has been deleted' }).waitFor();
  });
});

/** Two users with the same document open: its owner, and Bo. */
async function pair(role: 'Can edit' | 'Can view'): Promise<[Page, Page]> {
  const bo = newAccount('Bo');
  const [a, b] = await Promise.all([stage.enter(), stage.enter()]);
  await Promise.all([register(a, newAccount('Ada')), register(b, bo)]);
  const path = await createDocument(a, 'Shared');
  await share(a, bo.email, role);
  await openDocument(b, path);
  return [a, b];
}

function both<T>(a: Page, b: Page, of: (page: Page) => Promise<T>): Promise<[T, T]> {
  return Promise.all([of(a), of(b)]);
}

async function same(a: Page, b: Page): Promise<void> {
  await expect
    .poll(async () => {
      const [here, there] = await both(a, b, markup);
      return here === there || { here, there };
    })
    .toBe(true);
}

/** The names at the carets of others. */
function names(page: Page): Promise<string[]> {
  return page.locator('.ql-cursor-name').allTextContents();
}

/** The labels of the avatars of others. */
function people(page: Page): Promise<Array<string | null>> {
  const avatars = page.getByRole('list', { name: 'Also here' }).getByRole('button');
  return avatars.evaluateAll((all) => all.map((one) => one.getAttribute('aria-label')));
}

function focused(page: Page): Promise<string | null | undefined> {
  return page.evaluate(() => document.activeElement?.getAttribute('data-path'));
}

/** How many documents the browser keeps. */
function storedRows(page: Page): Promise<number> {
  return page.evaluate(
    () =>
      new Promise<number>((resolve, reject) => {
        const opening = indexedDB.open('motet');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const counting = opening.result.transaction('clients').objectStore('clients').count();
          counting.onerror = () => reject(counting.error);
          counting.onsuccess = () => {
            opening.result.close();
            resolve(counting.result);
          };
        };
      }),
  );
}

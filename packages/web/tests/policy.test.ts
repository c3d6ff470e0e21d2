import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import {
  createDocument,
  newAccount,
  openDocument,
  openShareDialog,
  register,
  share,
  stateLine,
  surface,
} from './pages';
import { scene } from './scene';
import { startServer } from './server';

// The content security policy: nothing that people do violates it, and what it forbids does not happen.

const stage = scene();

/** A picture of one pixel. */
const PIXEL = 'data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=';

it('is not violated by a session that uses everything', async () => {
  const [ada, josquin] = [newAccount('Ada'), newAccount('Josquin')];
  const [a, b] = await Promise.all([stage.enter(), stage.enter()]);
  const stopped = await Promise.all([a, b].map(watch));
  await Promise.all([register(a, ada), register(b, josquin)]);
  const path = await createDocument(a, 'Everything');
  await share(a, josquin.email, 'Can edit');
  await openDocument(b, path);

  await surface(a).click();
  await a.keyboard.type('Every format');
  await a.keyboard.press('Control+a');
  for (const name of ['Bold', 'Italic', 'Underline', 'Strikethrough', 'Quote', 'Checklist']) {
    await a.getByRole('button', { name }).click();
  }
  await a.getByRole('button', { name: 'Text colour' }).click();
  await a.getByRole('menuitem', { name: 'Red' }).click();
  await expect.poll(() => colorOf(a, 'Every format')).toBe('rgb(224, 49, 49)');
  await expect.poll(() => colorOf(b, 'Every format')).toBe('rgb(224, 49, 49)');
  await a.getByRole('button', { name: /^Style/ }).click();
  await a.getByRole('menuitem', { name: 'Heading 1' }).click();
  await a.getByRole('button', { name: 'Link' }).click();
  await a.getByLabel('Link to').fill('example.com');
  await a.getByRole('button', { name: 'Apply' }).click();

  // What other pages leave in the clipboard.
  await b.bringToFront();
  await surface(b).click();
  await b.keyboard.press('Control+End');
  const bold = '<b style="font-weight: 700">bold</b>';
  await paste(b, `<p style="color: rgb(0, 128, 0)">Pasted ${bold}<img src="${PIXEL}"></p>`);
  await expect.poll(() => colorOf(a, 'Pasted')).toBe('rgb(0, 128, 0)');
  await expect.poll(() => pictures(a)).toEqual([[PIXEL, 1]]);
  await b.keyboard.press('Control+z');

  // Dialogs, menus, notices, dark and light, another page, the way out.
  await a.bringToFront();
  const dialog = await openShareDialog(a);
  await a.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  await a.goto('/');
  await a.getByText('Everything').waitFor();
  await a.getByRole('button', { name: 'Your account' }).click();
  await a.getByText('Dark').click({ force: true });
  await a.locator('[data-mantine-color-scheme="dark"]').waitFor();
  await a.getByText('Sign out').click();
  await a.getByRole('heading', { name: 'Sign in' }).waitFor();
  expect(stopped).toEqual([[], []]);
});

it('keeps out foreign scripts, styles and pictures', async () => {
  stage.expectFaults();
  const page = await stage.enter();
  const stopped = await watch(page);
  await register(page, newAccount('Ada'));
  await createDocument(page, 'Traps');
  await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'window.trapped = true';
    const style = document.createElement('style');
    style.textContent = 'body { display: none }';
    document.head.append(script, style);
  });
  await surface(page).click();
  await paste(
    page,
    `<style>body { display: none }</style><p onclick="window.trapped = true">Seen
     <img src="https://pictures.example/1.png" onerror="window.trapped = true"></p>`,
  );
  await surface(page).getByText('Seen').click();
  const expected = ['img-src', 'script-src-attr', 'script-src-elem', 'style-src-elem'];
  await expect.poll(() => [...new Set(stopped)].sort()).toEqual(expected);
  expect(await page.evaluate(() => 'trapped' in window)).toBe(false);
  expect(await page.locator('body').isVisible()).toBe(true);
  await expect.poll(() => stateLine(page)).toBe('Saved');
});

it('lets pictures in from where the operator says', async () => {
  const open = await startServer('--image-sources', 'https:');
  try {
    const page = await stage.enter(open.url);
    const stopped = await watch(page);
    await page.route('https://pictures.example/**', (route) =>
      route.fulfill({
        contentType: 'image/gif',
        body: Buffer.from(PIXEL.replace(/.*,/, ''), 'base64'),
      }),
    );
    await register(page, newAccount('Ada'));
    await createDocument(page, 'Pictures');
    await surface(page).click();
    const picture = 'https://pictures.example/1.gif';
    await paste(page, `<p><img src="${picture}"></p>`);
    await expect.poll(() => pictures(page)).toEqual([[picture, 1]]);
    expect(stopped).toEqual([]);
  } finally {
    await open.stop();
  }
});

/** The directives that something on the page runs into from here on. */
async function watch(page: Page): Promise<string[]> {
  const stopped: string[] = [];
  await page.exposeFunction('noteViolation', (directive: string) => stopped.push(directive));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      (window as unknown as { noteViolation(it: string): void }).noteViolation(
        event.effectiveDirective,
      );
    });
  });
  return stopped;
}

/** Pastes as a browser does. */
async function paste(page: Page, html: string): Promise<void> {
  await surface(page).evaluate((root, html) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/html', html);
    clipboardData.setData('text/plain', 'plain');
    const options = { clipboardData, bubbles: true, cancelable: true };
    root.dispatchEvent(new ClipboardEvent('paste', options));
  }, html);
}

/** The colour that this text has on the page. */
function colorOf(page: Page, text: string): Promise<string> {
  return surface(page)
    .getByText(text)
    .last()
    .evaluate((element) => getComputedStyle(element).color);
}

/** Where pictures come from, and how wide they are; 0 while they are not there. */
function pictures(page: Page): Promise<[string, number][]> {
  return surface(page)
    .locator('img')
    .evaluateAll((images) =>
      images.map((it) => {
        const { src, naturalWidth } = it as HTMLImageElement;
        return [src, naturalWidth] as [string, number];
      }),
    );
}

import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import { newAdministrator, newClient, newDocument } from './api';
import { choose, openDocument, openShareDialog, signIn, surface } from './pages';
import { scene } from './scene';

// Texts, pictures and formats that carry scripts. They are stored by way of the API, as somebody would who
// means harm, and then looked at by somebody else: nothing may run, and nothing may be there to be clicked.

const stage = scene();

const MARKUP = '<img src=x onerror="window.trapped=1"><script>window.trapped=1</script>';
const JAVASCRIPT = 'javascript:window.trapped=1';
const HTML = 'data:text/html,<script>parent.trapped=1</script>';
const SVG =
  '<svg xmlns="http://www.w3.org/2000/svg" onload="window.trapped=1"><script>window.trapped=1</script></svg>';

it('shows names and titles as they are written', async () => {
  const ada = await newAdministrator(stage.server, `Ada ${MARKUP}`);
  const mallory = await newClient(stage.server, `Mallory ${MARKUP}`);
  const group = await ada.call('POST', 'groups', { name: `Group ${MARKUP}` });
  await ada.call('PUT', `groups/${group.groupId}/members/${mallory.userId}`);
  await ada.call('PATCH', 'organization', { name: `Organization ${MARKUP}` });
  await ada.call('POST', 'api-keys', { name: `Key ${MARKUP}`, scopes: ['read'] });
  const { documentId, path } = await newDocument(mallory, `Title ${MARKUP}`, [
    { insert: `Text ${MARKUP} in it\n` },
  ]);
  const own = await newDocument(ada, `Own ${MARKUP}`);
  for (const grant of [{ groupId: group.groupId }, { userId: mallory.userId }]) {
    await ada.call('POST', `documents/${own.documentId}/grants`, { ...grant, role: 'editor' });
  }
  await mallory.call('POST', `documents/${documentId}/grants`, {
    userId: ada.userId,
    role: 'editor',
  });
  const { token } = await mallory.call('POST', `documents/${documentId}/links`, {
    role: 'viewer',
    password: MARKUP,
  });

  const [page, other] = await Promise.all([stage.enter(), stage.enter()]);
  await signIn(other, mallory.account);
  await openDocument(other, path);
  await signIn(page, ada.account);
  await page.getByText(`Title ${MARKUP}`).waitFor();
  await isHarmless(page);
  await page.getByLabel('Search documents').fill('onerror');
  await page.locator('mark').first().waitFor();
  await isHarmless(page);

  await openDocument(page, path);
  await page.getByRole('list', { name: 'Also here' }).getByRole('button').first().hover();
  await page.getByRole('tooltip').waitFor();
  await surface(other).click();
  await other.keyboard.type('x');
  await page.locator('.ql-cursor-name').waitFor({ state: 'attached' });
  await isHarmless(page);

  await openDocument(page, own.path);
  const dialog = await openShareDialog(page);
  await dialog.getByText(`Group ${MARKUP}`).first().waitFor();
  await isHarmless(page);
  for (const [part, shown] of [
    ['', `Mallory ${MARKUP}`],
    ['groups', `Group ${MARKUP}`],
    ['sessions', `Title ${MARKUP}`],
    ['audit', `Mallory ${MARKUP}`],
    ['organization', `Organization ${MARKUP}`],
  ]) {
    await page.goto(`/admin/${part}`);
    await page.getByText(`${shown}`).first().waitFor();
    await isHarmless(page);
  }
  await page.goto('/profile');
  await page.getByText(`Key ${MARKUP}`).waitFor();
  await isHarmless(page);
  await page.goto('/');
  await choose(page, `Actions for Own ${MARKUP}`, 'Delete');
  await page.getByText(`“Own ${MARKUP}” moved to the trash`).waitFor();
  await isHarmless(page);

  const guest = await stage.enter();
  await guest.goto(`/l/${token}`);
  await guest.getByLabel('Your name').fill(`Guest ${MARKUP}`);
  await guest.getByLabel('Password of the link').fill(MARKUP);
  await guest.getByRole('button', { name: 'Continue as guest' }).click();
  await guest.getByText(`Title ${MARKUP}`).waitFor();
  await isHarmless(guest);
});

it('draws no format or embed that could run something', async () => {
  const [ada, mallory] = await Promise.all([
    newClient(stage.server, 'Ada'),
    newClient(stage.server, 'Mallory'),
  ]);
  const { documentId, path } = await newDocument(mallory, 'Trap', [
    ...[
      JAVASCRIPT,
      ` ${JAVASCRIPT}`,
      'JaVaScRiPt:window.trapped=1',
      'java\nscript:window.trapped=1',
    ].map((link) => ({ insert: 'link ', attributes: { link } })),
    { insert: 'data ', attributes: { link: HTML } },
    { insert: 'code ', attributes: { link: 'vbscript:window.trapped=1' } },
    {
      insert: 'attributes ',
      attributes: {
        style: 'position:fixed;inset:0',
        class: 'mantine-Modal-root',
        onclick: 'window.trapped=1',
        'data-trap': '1',
        color: 'red;position:fixed;inset:0',
        background: 'url(https://evil.example/)',
        font: '"><script>window.trapped=1</script>',
        href: JAVASCRIPT,
      },
    },
    { insert: { image: JAVASCRIPT } },
    { insert: { image: HTML } },
    { insert: { image: `data:image/svg+xml,${encodeURIComponent(SVG)}` } },
    { insert: { image: 'x" onerror="window.trapped=1' } },
    { insert: { video: JAVASCRIPT } },
    { insert: { video: HTML } },
    { insert: { formula: '\\href{javascript:window.trapped=1}{x}' } },
    { insert: { script: 'window.trapped=1' } },
    { insert: `${MARKUP} the end` },
    { insert: '\n', attributes: { align: '"><script>', header: MARKUP, list: MARKUP } },
    { insert: '\n', attributes: { 'code-block': MARKUP } },
  ]);
  await mallory.call('POST', `documents/${documentId}/grants`, {
    email: ada.account.email,
    role: 'editor',
  });
  const page = await stage.enterAs(ada);
  await openDocument(page, path);
  await surface(page).getByText('the end').waitFor();
  await isHarmless(page);
  const text = surface(page).getByText('attributes');
  expect(await text.evaluate((element) => getComputedStyle(element).position)).toBe('static');
  expect(
    await surface(page).locator('[data-trap], [onclick], [onerror], .mantine-Modal-root').count(),
  ).toBe(0);
  for (const link of await surface(page).locator('a').all()) {
    await link.click({ modifiers: ['Control'] });
  }
  await isHarmless(page);
});

it('takes no pictures of people that are documents', async () => {
  const ada = await newClient(stage.server, 'Ada');
  const path = `users/${ada.userId}/avatar`;
  const html = '<!doctype html><script>window.trapped=1</script>';
  for (const [type, content] of [
    ['image/svg+xml', SVG],
    ['text/html', html],
    ['image/png', SVG],
    ['image/png', html],
    ['image/webp', html],
  ] as const) {
    expect(await ada.status('PUT', path, new Blob([content], { type }))).toBeGreaterThanOrEqual(
      400,
    );
  }

  const page = await stage.enterAs(ada);
  await page.goto('/profile');
  const picture = page.getByLabel('Picture', { exact: true });
  await picture.setInputFiles({
    name: 'x.svg',
    mimeType: 'image/svg+xml',
    buffer: Buffer.from(SVG),
  });
  await page.getByText('Choose a picture in the format PNG, JPEG or WebP.').waitFor();
  await picture.setInputFiles({ name: 'x.png', mimeType: 'image/png', buffer: Buffer.from(SVG) });
  await page.getByText('This file cannot be read as a picture.').waitFor();
  await isHarmless(page);
});

/** Nothing has run, and there is nothing that would run if it were clicked. */
async function isHarmless(page: Page): Promise<void> {
  const found = await page.evaluate(() => {
    const protocol = (address: string) =>
      URL.canParse(address, location.href) ? new URL(address, location.href).protocol : 'none:';
    const addresses = ['href', 'src', 'action', 'formaction', 'data', 'srcdoc'].flatMap((name) =>
      [...document.querySelectorAll(`[${name}]`)].map((element) => {
        const isPicture = element instanceof HTMLImageElement;
        return { isPicture, protocol: protocol(element.getAttribute(name) ?? '') };
      }),
    );
    // What an `img` shows runs nothing, wherever it is from.
    const harmless = ['http:', 'https:', 'mailto:', 'about:', 'none:'];
    return {
      trapped: 'trapped' in window,
      addresses: addresses.filter(
        (one) =>
          !harmless.includes(one.protocol) && !(one.isPicture && one.protocol !== 'javascript:'),
      ),
      handlers: document.querySelectorAll('[onerror], [onload], [onclick]').length,
      scripts: [...document.scripts].filter((script) => !script.src.startsWith(location.origin))
        .length,
    };
  });
  expect(found).toEqual({ trapped: false, addresses: [], handlers: 0, scripts: 0 });
}

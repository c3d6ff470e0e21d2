import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

const RESULTS = fileURLToPath(new URL('../../../test-results/', import.meta.url));

/** How long a page may take to show what a test waits for. */
const WAIT_MS_MAX = 15_000;

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.MOTET_CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** The browsers of one test: one context, with its own storage, for each person. */
export class Stage {
  readonly #browser: Browser;
  readonly #pages: Page[] = [];
  readonly #contexts: BrowserContext[] = [];
  /** Errors that a page threw or that its content security policy caused. */
  readonly faults: string[] = [];

  constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** A window of a new browser profile that sees the server at `url`. */
  async enter(url: string): Promise<Page> {
    const context = await this.#browser.newContext({
      baseURL: url,
      viewport: { width: 1200, height: 800 },
      reducedMotion: 'reduce',
    });
    context.setDefaultTimeout(WAIT_MS_MAX);
    this.#contexts.push(context);
    const page = await context.newPage();
    this.#pages.push(page);
    page.on('pageerror', (error) => this.faults.push(String(error.stack ?? error)));
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) this.faults.push(message.text());
    });
    return page;
  }

  /** Closes all windows; of a test that failed, keeps what they showed. */
  async leave(failedTest?: string): Promise<void> {
    if (failedTest !== undefined) {
      await mkdir(RESULTS, { recursive: true });
      const name = failedTest.replace(/\W+/g, '-');
      for (const [index, page] of this.#pages.entries()) {
        await page.screenshot({ path: `${RESULTS}${name}-${index + 1}.png` });
      }
    }
    await Promise.all(this.#contexts.map((context) => context.close()));
  }
}

import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import type { Client } from './api';
import { launch, Stage } from './browser';
import { signIn } from './pages';
import { type Server, startServer } from './server';

/** A server for all tests of a file, and browsers for each of them. */
export interface Scene {
  readonly server: Server;
  /** A window of a new browser profile, which sees the server at `url` if it is not to see it directly. */
  enter(url?: string): Promise<Page>;
  /** The same, with this account signed in: it shows the list of documents. */
  enterAs(client: Pick<Client, 'account'>): Promise<Page>;
  /** Lets this test run into the content security policy: otherwise that fails it, as any error does. */
  expectFaults(): void;
}

/** Sets a scene up for the tests of the file, with `flags` for the server or what makes them ready. */
export function scene(flags: string[] | (() => Promise<string[]>) = []): Scene {
  let server: Server;
  let browser: Browser;
  let stage: Stage;
  let faultsExpected: boolean;

  beforeAll(async () => {
    const settings = typeof flags === 'function' ? await flags() : flags;
    [server, browser] = await Promise.all([startServer(...settings), launch()]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });
  beforeEach(() => {
    stage = new Stage(browser);
    faultsExpected = false;
  });
  afterEach(async ({ task }) => {
    await stage.leave(task.result?.state === 'fail' ? task.name : undefined);
    if (!faultsExpected) expect(stage.faults).toEqual([]);
  });

  const enter = (url = server.url) => stage.enter(url);
  return {
    get server() {
      return server;
    },
    enter,
    enterAs: async ({ account }) => {
      const page = await enter();
      await signIn(page, account);
      return page;
    },
    expectFaults: () => {
      faultsExpected = true;
    },
  };
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { scene } from './scene';

// Signing in elsewhere, at a real provider, where people cannot register here.

const PROVIDER = fileURLToPath(
  new URL('../../interop/tests/support/provider.mjs', import.meta.url),
);

let provider: ChildProcess;
let directory: string;

const stage = scene(async () => {
  provider = spawn(process.execPath, [PROVIDER], { stdio: ['pipe', 'pipe', 'inherit'] });
  if (!provider.stdout) throw new Error('the provider has no output');
  const [issuer] = await once(provider.stdout, 'data');
  directory = await mkdtemp(join(tmpdir(), 'motet-provider-'));
  const config = join(directory, 'motet.toml');
  const settings = [
    'registration = false',
    '[[providers]]',
    'id = "acme"',
    'name = "Acme"',
    `issuer = "${String(issuer).trim()}"`,
    'client_id = "motet"',
    'client_secret = "a secret of the client"',
  ];
  await writeFile(config, settings.join('\n'));
  return ['--config', config];
});

afterAll(async () => {
  provider?.stdin?.end();
  await rm(directory, { recursive: true, force: true });
});

it('leads there and back to the page that was asked for, and offers no registration', async () => {
  const page = await stage.enter();
  await page.goto('/profile');
  await page.getByText('Accounts are made by your administrator.').waitFor();
  expect(await page.getByRole('link', { name: 'Create an account' }).count()).toBe(0);
  await page.getByRole('button', { name: 'Continue with Acme' }).click();
  await page.getByLabel('Name').fill('hildegard');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Your profile' }).waitFor();
  await page.getByText('hildegard@example.com').waitFor();
  // There is no password to change here.
  expect(await page.getByRole('heading', { name: 'Password' }).count()).toBe(0);

  await page.goto('/register');
  await page.getByRole('heading', { name: 'Documents' }).waitFor();
});

it('takes no answer that this tab has not asked for, and none twice', async () => {
  const page = await stage.enter();
  await page.goto('/sign-in/callback?code=stolen&state=guessed');
  await page.getByText('It did not begin in this tab').waitFor();
  await page.goto('/sign-in');
  await page.getByRole('button', { name: 'Continue with Acme' }).click();
  await page.getByLabel('Name').fill('clara');
  const callback = page.waitForRequest(/sign-in\/callback/);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Documents' }).waitFor();
  await page.goto((await callback).url());
  await page.getByText('It did not begin in this tab').waitFor();
});

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const root = fileURLToPath(new URL('.', import.meta.url));

/** One page for each folder that has one, and the page that links them. */
const pages = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => /^([\w-]+\/)?index\.html$/.test(path) && !path.startsWith('dist'))
  .map((path) => `${root}${path}`);

export default defineConfig({
  root,
  base: './',
  plugins: [react()],
  build: {
    target: 'es2022',
    rolldownOptions: { input: pages },
    // Editors are large; these pages are to be read, not to be shipped.
    chunkSizeWarningLimit: 5_000,
  },
  // Two copies of Yjs in one page do not know each other's types.
  resolve: { dedupe: ['yjs'] },
});

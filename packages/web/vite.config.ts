import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** Where `motet serve` listens while the application is developed with `npm run dev`. */
const server = process.env.MOTET_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  server: {
    proxy: {
      '/api': server,
      '/collab': { target: server, ws: true },
    },
  },
  build: {
    target: 'es2022',
    // The binary embeds what is built; a stylesheet or icon inlined as `data:` would need a wider
    // content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});

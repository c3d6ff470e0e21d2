// Sets the colour scheme before the first paint, so that a dark page does not flash white. A file of
// its own and not inline, because the content security policy allows no inline scripts.
(() => {
  let stored = null;
  try {
    stored = localStorage.getItem('mantine-color-scheme-value');
  } catch {
    // Storage is blocked: follow the system.
  }
  const chosen = stored === 'light' || stored === 'dark' ? stored : undefined;
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  document.documentElement.setAttribute('data-mantine-color-scheme', chosen ?? system);
})();

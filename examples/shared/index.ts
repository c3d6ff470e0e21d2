/** The page that links the examples: what is in the form goes into the links. */
const form = document.querySelector<HTMLFormElement>('#place');
const links = document.querySelectorAll<HTMLAnchorElement>('.cards a');

function link(place: HTMLFormElement): void {
  const query = new URLSearchParams([...new FormData(place)].map(([k, v]) => [k, String(v)]));
  for (const anchor of links) anchor.search = `${query}`;
  history.replaceState(null, '', `?${query}`);
}

if (form) {
  for (const [name, value] of new URLSearchParams(location.search)) {
    const field = form.elements.namedItem(name);
    if (field instanceof HTMLInputElement) field.value = value;
  }
  form.addEventListener('input', () => link(form));
  link(form);
}

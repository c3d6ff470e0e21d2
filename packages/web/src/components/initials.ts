/** The first letters of the first and the last word, as people see letters and not as code units. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/u);
  const first = firstLetter(words[0]);
  const last = words.length > 1 ? firstLetter(words.at(-1)) : '';
  return (first + last).toLocaleUpperCase() || '?';
}

function firstLetter(word: string | undefined): string {
  if (!word) return '';
  return new Intl.Segmenter().segment(word)[Symbol.iterator]().next().value?.segment ?? '';
}

/**
 * The colours of people, by the number that the server gives a presence. Hues of close numbers lie far
 * apart. Each has a contrast of 4.6:1 to white (initials and names stand on it) and so at least 3.5:1
 * to the dark paper, where carets are drawn in it.
 */
export const PERSON_COLORS = [
  { value: '#5c66ec', label: 'Ultramarine' },
  { value: '#d93639', label: 'Red' },
  { value: '#0e8560', label: 'Green' },
  { value: '#ba43b4', label: 'Magenta' },
  { value: '#9d6b0c', label: 'Ochre' },
  { value: '#04809b', label: 'Cyan' },
  { value: '#9055de', label: 'Violet' },
  { value: '#548100', label: 'Moss' },
  { value: '#b7556f', label: 'Rose' },
  { value: '#2e78be', label: 'Blue' },
  { value: '#b1601b', label: 'Orange' },
  { value: '#05837e', label: 'Teal' },
  { value: '#b15684', label: 'Mauve' },
  { value: '#79790d', label: 'Olive' },
  { value: '#716bc1', label: 'Lavender' },
  { value: '#b85a39', label: 'Terracotta' },
] as const;

/** The CSS colour for a presence's colour number; numbers beyond the palette start over. */
export function personColor(number: number): string {
  const index = Math.abs(Math.trunc(number)) % PERSON_COLORS.length;
  return (PERSON_COLORS[index] ?? PERSON_COLORS[0]).value;
}

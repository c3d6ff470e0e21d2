/**
 * The colours of people, by the number that the server gives a presence. Hues of close numbers lie far
 * apart. Each has a contrast of 4.6:1 to white (initials and names stand on it) and so at least 3.5:1
 * to the dark paper, where carets are drawn in it.
 */
const COLORS = [
  '#5c66ec',
  '#d93639',
  '#0e8560',
  '#ba43b4',
  '#9d6b0c',
  '#04809b',
  '#9055de',
  '#548100',
  '#b7556f',
  '#2e78be',
  '#b1601b',
  '#05837e',
  '#b15684',
  '#79790d',
  '#716bc1',
  '#b85a39',
] as const;

/** The CSS colour for a presence's colour number; numbers beyond the palette start over. */
export function personColor(number: number): string {
  return COLORS[Math.abs(Math.trunc(number)) % COLORS.length] ?? COLORS[0];
}

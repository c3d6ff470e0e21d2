const DAY_MS = 86_400_000;

/** How long something may be good for, as the choices of a list: days, or `never`. */
export const EXPIRIES = [
  { value: '1', label: 'In a day' },
  { value: '7', label: 'In a week' },
  { value: '30', label: 'In 30 days' },
  { value: '90', label: 'In 90 days' },
  { value: '365', label: 'In a year' },
  { value: 'never', label: 'Never' },
] as const;

/** When something of that choice ends, in RFC 3339; undefined for never. */
export function expiryTime(choice: string): string | undefined {
  if (choice === 'never') return undefined;
  return new Date(Date.now() + Number(choice) * DAY_MS).toISOString();
}

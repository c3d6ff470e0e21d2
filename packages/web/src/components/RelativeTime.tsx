const STEPS: ReadonlyArray<readonly [unit: Intl.RelativeTimeFormatUnit, seconds: number]> = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['week', 604_800],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const absolute = new Intl.DateTimeFormat('en', { dateStyle: 'long', timeStyle: 'short' });

/** A time as people say it ("3 hours ago"), exact on hover. `time` is RFC 3339. */
export function RelativeTime({ time }: { time: string }) {
  const date = new Date(time);
  return (
    <time dateTime={time} title={absolute.format(date)}>
      {ago((date.getTime() - Date.now()) / 1000)}
    </time>
  );
}

/** `seconds` from now: negative in the past. */
export function ago(seconds: number): string {
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return 'just now';
}

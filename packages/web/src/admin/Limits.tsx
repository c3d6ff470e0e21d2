import { Stack, Text } from '@mantine/core';
import { Panel } from '../components/Panel';
import { Row, Rows } from '../components/Rows';
import { useLimits } from './queries';

/** What the server allows. It is set where the server is started. */
export function Limits() {
  const limits = useLimits();
  return (
    <Stack>
      <Text size="sm" c="dimmed">
        What the server allows. Whoever runs the server sets it.
      </Text>
      <Panel query={limits} what="The limits" empty="Nothing is limited.">
        <Rows label="Limits">
          {limits.data?.map(({ name, value, unit }) => (
            <Row
              key={name}
              title={readable(name)}
              meta={value === 0 ? 'Unlimited' : amount(value, unit)}
            />
          ))}
        </Rows>
      </Panel>
    </Stack>
  );
}

/** `documents_per_user_max` as words. The largest amount is what every limit is about. */
function readable(name: string): string {
  const words = name.replace(/_max$/, '').replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const numbers = new Intl.NumberFormat('en');
const KIB = 1024;

/** A number with its unit, bytes in the largest unit that fits. */
function amount(value: number, unit: string): string {
  if (!unit.startsWith('bytes')) return `${numbers.format(value)} ${unit}`;
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let at = 0;
  let size = value;
  while (size >= KIB && at < units.length - 1) {
    size /= KIB;
    at += 1;
  }
  return `${numbers.format(Math.round(size * 10) / 10)} ${units[at]}${unit.slice('bytes'.length)}`;
}

import { Button, Group, Input, Text } from '@mantine/core';
import { IconCheck } from '@tabler/icons-react';
import { useId } from 'react';
import { PERSON_COLORS } from '../components/personColor';
import classes from './Swatches.module.css';

interface SwatchesProps {
  color: number | null;
  onChange: (color: number | null) => void;
}

/** The colours that a person can have. */
export function Swatches({ color, onChange }: SwatchesProps) {
  const id = useId();
  return (
    <div>
      <Input.Label component="div" id={id}>
        Colour
      </Input.Label>
      <Input.Description mb={8}>
        Of your cursor, as far as it is free in a document.
      </Input.Description>
      <div role="radiogroup" aria-labelledby={id} className={classes.swatches}>
        {PERSON_COLORS.map(({ value, label }, number) => (
          <label key={value} className={classes.swatch} title={label}>
            <input
              type="radio"
              name={id}
              aria-label={label}
              checked={number === color}
              onChange={() => onChange(number)}
            />
            <span style={{ backgroundColor: value }}>
              {number === color && <IconCheck size={18} color="#fff" aria-hidden />}
            </span>
          </label>
        ))}
      </div>
      <Group mt={8} h={22}>
        {color === null ? (
          <Text size="xs" c="dimmed">
            Without a choice, each document gives you one.
          </Text>
        ) : (
          <Button size="compact-xs" variant="default" onClick={() => onChange(null)}>
            Any colour
          </Button>
        )}
      </Group>
    </div>
  );
}

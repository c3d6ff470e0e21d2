import { Alert, Stack, Text } from '@mantine/core';
import { describe } from '../api/error';
import type { Me } from '../api/types';
import { Section } from '../components/Section';
import { NameForm } from '../forms/NameForm';
import { Picture } from './Picture';
import { useChangeProfile } from './queries';
import { Swatches } from './Swatches';

/** How the user is shown to others. */
export function AboutYou({ me }: { me: Me }) {
  const rename = useChangeProfile();
  const color = useChangeProfile();
  return (
    <Section title="About you" lead="What others see beside your cursor and in lists of people.">
      <Stack gap="xl">
        <Picture me={me} />
        <NameForm
          name={me.name}
          action="Save name"
          autoComplete="name"
          onSave={(name) => rename.mutateAsync({ name })}
        />
        <Swatches
          color={color.isPending && 'color' in color.variables ? color.variables.color : me.color}
          onChange={(next) => color.mutate({ color: next })}
        />
        {color.isError && <Alert color="red">{describe(color.error)}</Alert>}
        <Text size="sm" c="dimmed">
          {me.email && `You sign in as ${me.email}. `}Your organization is “{me.organizationName}”.
        </Text>
      </Stack>
    </Section>
  );
}

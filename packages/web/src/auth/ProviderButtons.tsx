import { Alert, Button, Divider, Stack } from '@mantine/core';
import { IconAlertCircle, IconLogin2 } from '@tabler/icons-react';
import { describe } from '../api/error';
import { useBeginProvider, useProviders } from './providers';

/** The ways to sign in elsewhere; nothing where there are none. */
export function ProviderButtons({ returnTo }: { returnTo: string }) {
  const providers = useProviders().data?.providers ?? [];
  const begin = useBeginProvider(returnTo);
  if (providers.length === 0) return null;
  return (
    <Stack gap="md" mt="lg">
      <Divider label="or" />
      {begin.isError && (
        <Alert icon={<IconAlertCircle />} color="red">
          {describe(begin.error)}
        </Alert>
      )}
      {providers.map(({ providerId, name }) => (
        <Button
          key={providerId}
          variant="default"
          size="md"
          leftSection={<IconLogin2 size={20} stroke={1.6} />}
          loading={begin.isPending && begin.variables === providerId}
          disabled={begin.isPending && begin.variables !== providerId}
          onClick={() => begin.mutate(providerId)}
          fullWidth
          h="auto"
          mih={42}
          py={8}
          styles={{ label: { whiteSpace: 'normal' } }}
        >
          Continue with {name}
        </Button>
      ))}
    </Stack>
  );
}

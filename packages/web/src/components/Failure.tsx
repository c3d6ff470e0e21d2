import { Alert, Button, Group } from '@mantine/core';
import { IconAlertCircle } from '@tabler/icons-react';
import { describe } from '../api/error';

interface FailureProps {
  title: string;
  error: unknown;
  retry: () => void;
  retrying?: boolean;
}

/** Something could not be loaded: why, and a way to try again. */
export function Failure({ title, error, retry, retrying = false }: FailureProps) {
  return (
    <Alert icon={<IconAlertCircle />} color="red" title={title}>
      {describe(error)}
      <Group mt="sm">
        <Button size="xs" variant="light" color="red" onClick={retry} loading={retrying}>
          Try again
        </Button>
      </Group>
    </Alert>
  );
}

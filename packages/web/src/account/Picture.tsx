import { Alert, Button, FileButton, Group, Stack, Text } from '@mantine/core';
import { IconPhotoUp } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { ApiError, describe } from '../api/error';
import type { Me } from '../api/types';
import { PersonAvatar } from '../components/PersonAvatar';
import { PICTURE_TYPES, squarePicture } from './picture';
import { useChangeAvatar } from './queries';

/** The user's picture: to choose, and to take away. */
export function Picture({ me }: { me: Me }) {
  const change = useChangeAvatar();
  const choose = useMutation({
    mutationFn: async (file: File) => change.mutateAsync(await squarePicture(file)),
  });
  const error = choose.error ?? change.error;
  return (
    <Stack gap="sm">
      <Group gap="lg">
        <PersonAvatar name={me.name} avatarUrl={me.avatarUrl} color={me.color} size={80} />
        <Stack gap={6}>
          <Group gap="xs">
            <FileButton
              onChange={(file) => file && choose.mutate(file)}
              accept={PICTURE_TYPES.join()}
              inputProps={{ 'aria-label': 'Picture' }}
            >
              {(props) => (
                <Button
                  {...props}
                  variant="light"
                  size="xs"
                  leftSection={<IconPhotoUp size={17} />}
                  loading={choose.isPending}
                >
                  {me.avatarUrl ? 'Change picture' : 'Upload picture'}
                </Button>
              )}
            </FileButton>
            {me.avatarUrl && (
              <Button
                variant="subtle"
                color="gray"
                size="xs"
                loading={change.isPending && change.variables === null}
                onClick={() => {
                  choose.reset();
                  change.mutate(null);
                }}
              >
                Remove
              </Button>
            )}
          </Group>
          <Text size="xs" c="dimmed">
            PNG, JPEG or WebP. The middle of it is shown.
          </Text>
        </Stack>
      </Group>
      {error && (
        <Alert color="red">{error instanceof ApiError ? describe(error) : error.message}</Alert>
      )}
    </Stack>
  );
}

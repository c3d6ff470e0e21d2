import {
  ActionIcon,
  Center,
  Group,
  Menu,
  SegmentedControl,
  Text,
  useMantineColorScheme,
  VisuallyHidden,
} from '@mantine/core';
import {
  IconDeviceDesktop,
  IconLogout,
  IconMoon,
  IconSettings,
  IconSun,
  IconUserCircle,
} from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';
import { PersonAvatar } from '../components/PersonAvatar';
import { unsentEdits } from '../editor/offline';
import { useMe } from './me';
import { useSession, useUserId } from './SessionProvider';
import { SignOutDialog } from './SignOutDialog';

const SCHEMES = [
  { value: 'auto', label: 'Like the system', Icon: IconDeviceDesktop },
  { value: 'light', label: 'Light', Icon: IconSun },
  { value: 'dark', label: 'Dark', Icon: IconMoon },
] as const;

/** Who is signed in, light or dark, and the way out. */
export function UserMenu() {
  const { data: me } = useMe();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const session = useSession();
  const userId = useUserId();
  const [unsent, setUnsent] = useState(0);
  const isGuest = me?.kind === 'guest';
  const name = me?.name || me?.email || '';

  const askToSignOut = async () => {
    const edits = await unsentEdits(userId);
    if (edits > 0) setUnsent(edits);
    else await session.signOut();
  };

  return (
    <>
      <Menu position="bottom-end" width={260} shadow="md" withinPortal>
        <Menu.Target>
          <ActionIcon size={36} radius="xl" variant="transparent" aria-label="Your account">
            <PersonAvatar name={name} avatarUrl={me?.avatarUrl} color={me?.color} size={34} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Group wrap="nowrap" gap="sm" px="sm" pt="xs" pb="sm">
            <PersonAvatar name={name} avatarUrl={me?.avatarUrl} color={me?.color} size={36} />
            <div style={{ minWidth: 0 }}>
              <Text fw={600} truncate>
                {name}
              </Text>
              <Text size="sm" c="dimmed" truncate>
                {isGuest ? 'Guest' : me?.email}
              </Text>
            </div>
          </Group>
          <Menu.Divider />
          {me && !isGuest && (
            <Menu.Item component={Link} to="/profile" leftSection={<IconUserCircle size={18} />}>
              Your profile
            </Menu.Item>
          )}
          {me?.administrator && (
            <Menu.Item component={Link} to="/admin" leftSection={<IconSettings size={18} />}>
              Administration
            </Menu.Item>
          )}
          {!isGuest && <Menu.Divider />}
          <Menu.Label id="color-scheme-label">Appearance</Menu.Label>
          <SegmentedControl
            fullWidth
            mx="sm"
            mb="sm"
            w="auto"
            aria-labelledby="color-scheme-label"
            value={colorScheme}
            onChange={(value) => setColorScheme(value as typeof colorScheme)}
            data={SCHEMES.map(({ value, label, Icon }) => ({
              value,
              label: (
                <Center h={24} title={label}>
                  <Icon size={18} aria-hidden />
                  <VisuallyHidden>{label}</VisuallyHidden>
                </Center>
              ),
            }))}
          />
          <Menu.Divider />
          <Menu.Item leftSection={<IconLogout size={18} />} onClick={() => void askToSignOut()}>
            {isGuest ? 'Leave, or sign in' : 'Sign out'}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {unsent > 0 && (
        <SignOutDialog
          unsent={unsent}
          onConfirm={() => session.signOut()}
          onClose={() => setUnsent(0)}
        />
      )}
    </>
  );
}

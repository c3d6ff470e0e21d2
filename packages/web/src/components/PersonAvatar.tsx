import { Avatar } from '@mantine/core';
import { initials } from './initials';
import { personColor } from './personColor';

interface PersonAvatarProps {
  name: string;
  /** Where their picture is, if they have one. */
  avatarUrl?: string | null | undefined;
  /** A colour number. Without one the disc is neutral. */
  color?: number | null | undefined;
  size?: number;
}

/**
 * A person as a disc with their picture or initials. Decorative: the name must stand beside it or on
 * its button.
 */
export function PersonAvatar({ name, avatarUrl, color, size = 32 }: PersonAvatarProps) {
  const colors =
    color === undefined || color === null
      ? { backgroundColor: 'light-dark(#dfe3fb, #2c3670)', color: 'light-dark(#26348c, #dfe3fb)' }
      : { backgroundColor: personColor(color), color: '#ffffff' };
  return (
    <Avatar
      src={avatarUrl ?? null}
      alt=""
      size={size}
      radius="50%"
      aria-hidden
      styles={{ placeholder: { ...colors, fontWeight: 650, fontSize: size * 0.38 } }}
    >
      {initials(name)}
    </Avatar>
  );
}

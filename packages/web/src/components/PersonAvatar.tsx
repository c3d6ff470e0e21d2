import { Avatar } from '@mantine/core';
import { initials } from './initials';
import { personColor } from './personColor';

interface PersonAvatarProps {
  name: string;
  /** A presence's colour number. Without one the disc is neutral: nobody's cursor has its colour. */
  color?: number;
  size?: number;
}

/** A person as a disc with initials. Decorative: the name must stand beside it or on its button. */
export function PersonAvatar({ name, color, size = 32 }: PersonAvatarProps) {
  const colors =
    color === undefined
      ? { backgroundColor: 'light-dark(#dfe3fb, #2c3670)', color: 'light-dark(#26348c, #dfe3fb)' }
      : { backgroundColor: personColor(color), color: '#ffffff' };
  return (
    <Avatar
      size={size}
      radius="xl"
      aria-hidden
      styles={{ placeholder: { ...colors, fontWeight: 650, fontSize: size * 0.38 } }}
    >
      {initials(name)}
    </Avatar>
  );
}

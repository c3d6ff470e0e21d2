import { Group, Text } from '@mantine/core';

/** Four voices that enter one after the other. Decorative: give it a name where it stands alone. */
export function LogoMark({ size = 28 }: { size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 32 32"
      display="block"
      aria-hidden="true"
      focusable="false"
    >
      <rect width="32" height="32" rx="8" fill="#2b3a9e" />
      <g strokeWidth="3" strokeLinecap="round">
        <path d="M7.5 8.5h11" stroke="#ffffff" />
        <path d="M12.5 13.5h12" stroke="#ffc94d" />
        <path d="M7.5 18.5h8" stroke="#ff8f7a" />
        <path d="M15.5 23.5h9" stroke="#7fdcc4" />
      </g>
    </svg>
  );
}

/** The mark with the name beside it. */
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <Group gap={10} wrap="nowrap">
      <LogoMark size={size} />
      <Text component="span" fw={700} fz={size * 0.68} lh={1} style={{ letterSpacing: '-0.02em' }}>
        Motet
      </Text>
    </Group>
  );
}

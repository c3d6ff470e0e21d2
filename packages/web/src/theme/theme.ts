import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from '@mantine/core';

/** Ultramarine, the blue of manuscripts: the application's own colour. */
const lapis: MantineColorsTuple = [
  '#f0f2fe',
  '#dfe3fb',
  '#bcc4f5',
  '#98a5ef',
  '#7989ea',
  '#6072e4',
  '#4c5fdb',
  '#3b4bbd',
  '#3040a8',
  '#26348c',
];

/** Greys with a breath of blue, so that dark surfaces go with the ultramarine. */
const dark: MantineColorsTuple = [
  '#d3d6df',
  '#b7bcc9',
  '#969cad',
  '#6d7386',
  '#434857',
  '#363b49',
  '#2a2e39',
  '#1d2028',
  '#16181f',
  '#101217',
];

export const theme = createTheme({
  primaryColor: 'lapis',
  primaryShade: { light: 7, dark: 6 },
  colors: { lapis, dark },
  autoContrast: false,
  defaultRadius: 'md',
  cursorType: 'pointer',
  fontFamily:
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", sans-serif',
  fontFamilyMonospace:
    'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  headings: { fontWeight: '650', textWrap: 'balance' },
  respectReducedMotion: true,
  components: {
    ActionIcon: { defaultProps: { variant: 'subtle', color: 'gray' } },
    Modal: {
      defaultProps: {
        centered: true,
        overlayProps: { backgroundOpacity: 0.45, blur: 2 },
        closeButtonProps: { 'aria-label': 'Close' },
      },
      styles: { title: { fontSize: '1.125rem', fontWeight: 650, lineHeight: 1.3 } },
    },
    PasswordInput: {
      defaultProps: {
        visibilityToggleButtonProps: { 'aria-label': 'Show what is typed' },
        visibilityToggleFocusable: true,
      },
    },
    Notification: { defaultProps: { closeButtonProps: { 'aria-label': 'Close this message' } } },
    Tooltip: { defaultProps: { openDelay: 350, withinPortal: true } },
  },
});

/**
 * Raises Mantine's fainter texts to the contrast of 4.5:1 that WCAG asks for, and names the surfaces
 * that the application draws itself.
 */
export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#5b6271',
    '--mantine-color-placeholder': '#717786',
    '--mantine-color-error': '#c92a2a',
    '--motet-canvas': '#f5f6fa',
    '--motet-paper': '#ffffff',
    '--motet-line': '#e2e4ec',
  },
  dark: {
    '--mantine-color-dimmed': '#a0a6b6',
    '--mantine-color-placeholder': '#868da0',
    '--mantine-color-error': '#ff8787',
    '--motet-canvas': '#16181f',
    '--motet-paper': '#1d2028',
    '--motet-line': '#323744',
  },
});

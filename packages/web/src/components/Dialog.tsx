import { Modal, type ModalProps } from '@mantine/core';
import { useEffect, useState } from 'react';

interface DialogProps extends Pick<ModalProps, 'size' | 'centered' | 'closeOnClickOutside'> {
  title: string;
  onClose: () => void;
  children: ModalProps['children'];
}

/** A dialog, which is open for as long as it is rendered. */
export function Dialog(props: DialogProps) {
  useFocusBack();
  return <Modal opened returnFocus={false} {...props} />;
}

/** Gives the focus back to what opened the dialog; Mantine does that for what it closes itself only. */
function useFocusBack(): void {
  // While it renders: by the time of an effect the menu that it was chosen in may have left the page.
  const [opener] = useState(() => openerOf(document.activeElement));
  useEffect(
    () => () => {
      // What the dialog was about may be gone: then the page is the nearest there is.
      const target = opener?.isConnected ? opener : document.getElementById('content');
      target?.focus({ preventScroll: true });
    },
    [opener],
  );
}

/** The button behind `focused`: a menu closes as soon as one of its items is chosen. */
function openerOf(focused: Element | null): HTMLElement | null {
  const button = focused?.closest('[role="menu"]')?.getAttribute('aria-labelledby');
  if (button) return document.getElementById(button);
  return focused instanceof HTMLElement && focused !== document.body ? focused : null;
}

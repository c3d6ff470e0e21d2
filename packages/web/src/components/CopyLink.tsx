import { Button, CopyButton } from '@mantine/core';
import { IconCheck, IconLink } from '@tabler/icons-react';

interface CopyLinkProps {
  /** Of a page of this application. */
  path: string;
  label: string;
  size?: 'xs' | 'sm';
}

/** Puts a page's whole address into the clipboard. */
export function CopyLink({ path, label, size = 'sm' }: CopyLinkProps) {
  return (
    <CopyButton value={window.location.origin + path} timeout={2_000}>
      {({ copied, copy }) => (
        <Button
          variant="light"
          size={size}
          onClick={copy}
          leftSection={copied ? <IconCheck size={17} /> : <IconLink size={17} />}
        >
          {copied ? 'Copied' : label}
        </Button>
      )}
    </CopyButton>
  );
}

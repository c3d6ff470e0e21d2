import { Button, Code, CopyButton, Stack, Text } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import classes from './rejection.module.css';

/** Why an edit was refused, for the person who made it. */
export function explainRejection(code: string, message: string): string {
  switch (code) {
    case 'read_only':
      return 'You may read this document, but no longer edit it.';
    case 'document_too_large':
      return 'The document would have become too large.';
    case 'too_large':
      return 'The edit was too large to be sent in one piece.';
    default:
      return message;
  }
}

/** Tells that the server refused an edit and that it was taken back, with its text to be saved. */
export function showRejection(why: string, text: string): void {
  notifications.show({
    color: 'red',
    title: 'An edit was not accepted',
    // Stays until it is closed: it may hold the only copy of what was written.
    autoClose: false,
    message: (
      <Stack gap="xs" align="flex-start">
        <Text size="sm">{why}</Text>
        {text !== '' && (
          <>
            <Code block className={classes.text}>
              {text}
            </Code>
            <CopyButton value={text} timeout={2_000}>
              {({ copied, copy }) => (
                <Button size="compact-xs" variant="light" onClick={copy}>
                  {copied ? 'Copied' : 'Copy the text'}
                </Button>
              )}
            </CopyButton>
          </>
        )}
      </Stack>
    ),
  });
}

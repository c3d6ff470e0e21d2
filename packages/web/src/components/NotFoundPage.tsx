import { Button } from '@mantine/core';
import { IconMapQuestion } from '@tabler/icons-react';
import { Link } from 'react-router';
import { FullPageNotice } from './FullPageNotice';

export function NotFoundPage() {
  return (
    <FullPageNotice
      icon={<IconMapQuestion size={32} />}
      title="There is no such page"
      actions={
        <Button component={Link} to="/">
          Go to your documents
        </Button>
      }
    >
      The address may be incomplete, or the page has moved.
    </FullPageNotice>
  );
}

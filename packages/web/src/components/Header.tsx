import { Group, UnstyledButton } from '@mantine/core';
import { Link } from 'react-router';
import { UserMenu } from '../auth/UserMenu';
import classes from './Header.module.css';
import { Logo } from './Logo';

/** The bar on top of every page but the editor's and those for signing in. */
export function Header() {
  return (
    <header className={classes.header}>
      <a className="skip-link" href="#content">
        Skip to the content
      </a>
      <Group className="page-column" h={60} justify="space-between" wrap="nowrap">
        <UnstyledButton component={Link} to="/" aria-label="Motet, your documents">
          <Logo size={28} />
        </UnstyledButton>
        <UserMenu />
      </Group>
    </header>
  );
}

import { Button, ScrollArea, Tabs } from '@mantine/core';
import {
  IconBuilding,
  IconGauge,
  IconHistory,
  IconLock,
  IconPlugConnected,
  IconUsers,
  IconUsersGroup,
} from '@tabler/icons-react';
import type { ComponentType } from 'react';
import { Link, Navigate, useNavigate, useParams } from 'react-router';
import { useMe } from '../auth/me';
import { FullPageNotice } from '../components/FullPageNotice';
import { Header } from '../components/Header';
import { Page } from '../components/Page';
import { Audit } from './Audit';
import { Groups } from './Groups';
import { Limits } from './Limits';
import { Organization } from './Organization';
import { Sessions } from './Sessions';
import { Users } from './Users';

interface Part {
  name: string;
  label: string;
  Icon: typeof IconUsers;
  Panel: ComponentType;
}

const USERS: Part = { name: 'users', label: 'People', Icon: IconUsers, Panel: Users };

const PARTS: readonly Part[] = [
  USERS,
  { name: 'groups', label: 'Groups', Icon: IconUsersGroup, Panel: Groups },
  { name: 'sessions', label: 'Sessions', Icon: IconPlugConnected, Panel: Sessions },
  { name: 'limits', label: 'Limits', Icon: IconGauge, Panel: Limits },
  { name: 'audit', label: 'Audit', Icon: IconHistory, Panel: Audit },
  { name: 'organization', label: 'Organization', Icon: IconBuilding, Panel: Organization },
];

/** For the administrators of an organization: who belongs to it, and what happens in it. */
export function AdminPage() {
  const navigate = useNavigate();
  const { part = USERS.name } = useParams();
  const { data: me } = useMe();
  const shown = PARTS.find(({ name }) => name === part);

  if (me && !me.administrator) return <NotForYou />;
  if (!shown) return <Navigate to="/admin" replace />;
  return (
    <Page title="Administration" lead={me?.organizationName ?? '\u00a0'}>
      <Tabs
        value={shown.name}
        onChange={(name) => navigate(name === USERS.name ? '/admin' : `/admin/${name}`)}
        keepMounted={false}
      >
        <ScrollArea type="never" mb="lg">
          <Tabs.List style={{ flexWrap: 'nowrap', width: 'max-content', minWidth: '100%' }}>
            {PARTS.map(({ name, label, Icon }) => (
              <Tabs.Tab
                key={name}
                value={name}
                ref={name === shown.name ? intoView : null}
                leftSection={<Icon size={18} stroke={1.7} />}
              >
                {label}
              </Tabs.Tab>
            ))}
          </Tabs.List>
        </ScrollArea>
        <Tabs.Panel value={shown.name}>{me && <shown.Panel />}</Tabs.Panel>
      </Tabs>
    </Page>
  );
}

/** The tabs may be broader than the window. */
function intoView(tab: HTMLElement | null): void {
  tab?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

function NotForYou() {
  return (
    <>
      <Header />
      <FullPageNotice
        icon={<IconLock size={32} />}
        title="For administrators only"
        actions={
          <Button component={Link} to="/">
            Go to your documents
          </Button>
        }
      >
        Ask an administrator of your organization to make you one of them.
      </FullPageNotice>
    </>
  );
}

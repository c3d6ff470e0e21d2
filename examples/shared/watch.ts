/** How the connection of a provider stands, shown in the page's bar. */
import type { HocuspocusProvider } from '@hocuspocus/provider';
import type { WebsocketProvider } from 'y-websocket';
import type { Page } from './page';

/** Hocuspocus tells what is stored and who may write. */
export function watchHocuspocus(page: Page, provider: HocuspocusProvider): void {
  let connected = false;
  let refused = false;
  const show = () => {
    if (refused) page.show('refused');
    else if (!connected) page.show(provider.isSynced ? 'offline' : 'connecting');
    else if (provider.authorizedScope === 'readonly') page.show('read_only');
    else page.show(provider.hasUnsyncedChanges ? 'saving' : 'saved');
  };
  provider.on('status', ({ status }: { status: string }) => {
    connected = status === 'connected';
    if (status === 'disconnected') page.show('offline');
    else show();
  });
  provider.on('authenticated', () => {
    refused = false;
    show();
  });
  provider.on('authenticationFailed', () => {
    refused = true;
    show();
  });
  provider.on('unsyncedChanges', show);
  if (provider.awareness) page.people(provider.awareness);
}

/** y-websocket tells whether it is connected, and no more. */
export function watchYWebsocket(page: Page, provider: WebsocketProvider): void {
  const show = () => {
    if (provider.synced) page.show('live');
  };
  provider.on('sync', show);
  provider.on('status', ({ status }) => {
    if (status === 'disconnected') page.show('offline');
  });
  provider.on('closed', () => page.show('refused'));
  show();
  page.people(provider.awareness);
}

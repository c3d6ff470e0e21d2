import { markdown } from '@codemirror/lang-markdown';
import { EditorView } from '@codemirror/view';
import { YjsStore } from '@motet/client/yjs';
import { basicSetup } from 'codemirror';
import { yCollab } from 'y-codemirror.next';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { openPage } from '../shared/page';
import { watchYWebsocket } from '../shared/watch';

const page = openPage('CodeMirror');
const { server, documentId, token, user } = page;

const doc = new Y.Doc();
const content = doc.getText('content');

// What is typed offline survives a reload, and is sent as soon as there is a connection again.
const kept = new YjsStore().keep(doc, { url: server, userId: user.name, documentId });
kept.on('error', () => page.show('not_kept'));

const provider = new WebsocketProvider(`${server}/yjs`, documentId, doc, { params: { token } });
provider.awareness.setLocalStateField('user', user);
watchYWebsocket(page, provider);

await kept.whenSynced.catch(() => {});
new EditorView({
  parent: page.element,
  doc: content.toString(),
  extensions: [
    basicSetup,
    markdown(),
    EditorView.lineWrapping,
    yCollab(content, provider.awareness, { undoManager: new Y.UndoManager(content) }),
  ],
});

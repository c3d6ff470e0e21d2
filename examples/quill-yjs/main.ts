import Quill from 'quill';
import QuillCursors from 'quill-cursors';
import { QuillBinding } from 'y-quill';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { openPage } from '../shared/page';
import { watchYWebsocket } from '../shared/watch';
import 'quill/dist/quill.snow.css';
import './quill.css';

const page = openPage('Quill with Yjs');
const { server, documentId, token, user } = page;

const doc = new Y.Doc();
const content = doc.getText('content');
const provider = new WebsocketProvider(`${server}/yjs`, documentId, doc, { params: { token } });
provider.awareness.setLocalStateField('user', user);

Quill.register('modules/cursors', QuillCursors);
const quill = new Quill(page.element.appendChild(document.createElement('div')), {
  theme: 'snow',
  modules: { cursors: true, history: { userOnly: true } },
});
new QuillBinding(content, quill, provider.awareness);

watchYWebsocket(page, provider);

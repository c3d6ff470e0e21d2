import { exampleSetup } from 'prosemirror-example-setup';
import { keymap } from 'prosemirror-keymap';
import { schema } from 'prosemirror-schema-basic';
import { EditorState } from 'prosemirror-state';
import { EditorView } from 'prosemirror-view';
import {
  initProseMirrorDoc,
  redo,
  undo,
  yCursorPlugin,
  ySyncPlugin,
  yUndoPlugin,
} from 'y-prosemirror';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { openPage } from '../shared/page';
import { watchYWebsocket } from '../shared/watch';
import 'prosemirror-view/style/prosemirror.css';
import 'prosemirror-menu/style/menu.css';
import '../shared/prose.css';

const page = openPage('ProseMirror');
const { server, documentId, token, user } = page;

const ydoc = new Y.Doc();
const fragment = ydoc.getXmlFragment('prosemirror');
const provider = new WebsocketProvider(`${server}/yjs`, documentId, ydoc, { params: { token } });
provider.awareness.setLocalStateField('user', user);

const { doc, mapping } = initProseMirrorDoc(fragment, schema);
new EditorView(page.element, {
  state: EditorState.create({
    doc,
    plugins: [
      ySyncPlugin(fragment, { mapping }),
      yCursorPlugin(provider.awareness),
      yUndoPlugin(),
      keymap({ 'Mod-z': undo, 'Mod-y': redo, 'Mod-Shift-z': redo }),
      ...exampleSetup({ schema, history: false }),
    ],
  }),
});

watchYWebsocket(page, provider);

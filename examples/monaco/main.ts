import * as monaco from 'monaco-editor/esm/vs/editor/editor.api';
import EditorWorker from 'monaco-editor/esm/vs/editor/editor.worker?worker';
import 'monaco-editor/esm/vs/basic-languages/markdown/markdown.contribution';
import { MonacoBinding } from 'y-monaco';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { openPage } from '../shared/page';
import { watchYWebsocket } from '../shared/watch';
import { paintCursors } from './cursors';

self.MonacoEnvironment = { getWorker: () => new EditorWorker() };

const page = openPage('Monaco');
const { server, documentId, token, user } = page;

const doc = new Y.Doc();
const content = doc.getText('content');
const provider = new WebsocketProvider(`${server}/yjs`, documentId, doc, { params: { token } });
provider.awareness.setLocalStateField('user', user);

const model = monaco.editor.createModel('', 'markdown');
// Monaco would turn the line ends of a pasted text into those of the system.
model.setEOL(monaco.editor.EndOfLineSequence.LF);
const editor = monaco.editor.create(page.element, {
  model,
  automaticLayout: true,
  fontSize: 15,
  minimap: { enabled: false },
  padding: { top: 16 },
  scrollBeyondLastLine: false,
  wordWrap: 'on',
});
new MonacoBinding(content, model, new Set([editor]), provider.awareness);

paintCursors(provider.awareness);
watchYWebsocket(page, provider);

import { HEADING, QUOTE } from '@lexical/markdown';
import { LexicalCollaboration } from '@lexical/react/LexicalCollaborationContext';
import { CollaborationPlugin } from '@lexical/react/LexicalCollaborationPlugin';
import { LexicalComposer } from '@lexical/react/LexicalComposer';
import { ContentEditable } from '@lexical/react/LexicalContentEditable';
import { LexicalErrorBoundary } from '@lexical/react/LexicalErrorBoundary';
import { MarkdownShortcutPlugin } from '@lexical/react/LexicalMarkdownShortcutPlugin';
import { RichTextPlugin } from '@lexical/react/LexicalRichTextPlugin';
import { HeadingNode, QuoteNode } from '@lexical/rich-text';
import type { Provider } from '@lexical/yjs';
import { createRoot } from 'react-dom/client';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { openPage } from '../shared/page';
import { watchYWebsocket } from '../shared/watch';
import '../shared/prose.css';

const page = openPage('Lexical');
const { server, documentId, token, user } = page;

/** Lexical makes the document's provider itself, and connects it when the editor is there. */
function createProvider(id: string, documents: Map<string, Y.Doc>): Provider {
  const doc = new Y.Doc();
  documents.set(id, doc);
  const options = { params: { token }, connect: false };
  const provider = new WebsocketProvider(`${server}/yjs`, id, doc, options);
  watchYWebsocket(page, provider);
  return provider as unknown as Provider;
}

const config = {
  namespace: 'motet',
  // The content comes from the server.
  editorState: null,
  nodes: [HeadingNode, QuoteNode],
  onError: (error: Error) => {
    throw error;
  },
};

createRoot(page.element).render(
  <LexicalCollaboration>
    <LexicalComposer initialConfig={config}>
      <RichTextPlugin
        contentEditable={<ContentEditable className="prose" aria-label="Document text" />}
        ErrorBoundary={LexicalErrorBoundary}
      />
      <MarkdownShortcutPlugin transformers={[HEADING, QUOTE]} />
      <CollaborationPlugin
        id={documentId}
        providerFactory={createProvider}
        shouldBootstrap
        username={user.name}
        cursorColor={user.color}
      />
    </LexicalComposer>
  </LexicalCollaboration>,
);

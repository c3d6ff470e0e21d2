import { HocuspocusProvider } from '@hocuspocus/provider';
import { Editor } from '@tiptap/core';
import { Collaboration } from '@tiptap/extension-collaboration';
import { CollaborationCaret } from '@tiptap/extension-collaboration-caret';
import { StarterKit } from '@tiptap/starter-kit';
import { openPage } from '../shared/page';
import { watchHocuspocus } from '../shared/watch';
import '../shared/prose.css';

const page = openPage('TipTap');
const { server, documentId, token, user } = page;

const provider = new HocuspocusProvider({
  url: `${server}/hocuspocus`,
  name: documentId,
  token,
});

new Editor({
  element: page.element,
  extensions: [
    StarterKit.configure({ undoRedo: false }),
    Collaboration.configure({ document: provider.document }),
    CollaborationCaret.configure({ provider, user }),
  ],
});

watchHocuspocus(page, provider);

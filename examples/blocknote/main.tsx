import { BlockNoteView } from '@blocknote/mantine';
import { useCreateBlockNote } from '@blocknote/react';
import { HocuspocusProvider } from '@hocuspocus/provider';
import { createRoot } from 'react-dom/client';
import { openPage } from '../shared/page';
import { watchHocuspocus } from '../shared/watch';
import '@blocknote/mantine/style.css';

const page = openPage('BlockNote');
const { server, documentId, token, user } = page;

const provider = new HocuspocusProvider({
  url: `${server}/hocuspocus`,
  name: documentId,
  token,
});

function Document() {
  const editor = useCreateBlockNote({
    collaboration: {
      provider: { awareness: provider.awareness ?? undefined },
      fragment: provider.document.getXmlFragment('blocknote'),
      user: { name: user.name, color: user.color },
    },
  });
  return <BlockNoteView editor={editor} theme="light" />;
}

createRoot(page.element).render(<Document />);
watchHocuspocus(page, provider);

import 'quill/dist/quill.core.css';
import 'quill-cursors/css';
import './surface.css';
import type { MotetDocument } from '@motet/client';
import { bindQuill } from '@motet/client/quill';
import type Quill from 'quill/core.js';
import { useEffect, useRef } from 'react';
import { personColor } from '../components/personColor';
import { type CursorsModule, showNames } from './names';
import { createEditor } from './quill';

interface SurfaceProps {
  /** Must be loaded. */
  document: MotetDocument;
  readOnly: boolean;
  /** Called with the editor when it is there, and with null before it goes. */
  onEditor: (quill: Quill | null) => void;
}

/** The page that is written on. */
export function Surface({ document, readOnly, onEditor }: SurfaceProps) {
  const place = useRef<HTMLDivElement>(null);
  const editor = useRef<Quill>(null);

  useEffect(() => {
    if (!place.current) return;
    const element = window.document.createElement('div');
    place.current.append(element);
    const quill = createEditor(element, {
      label: 'Document text',
      placeholder: 'Write something…',
    });
    const cursors = quill.getModule('cursors') as CursorsModule;
    const unbind = bindQuill(document, quill, { cursors, color: personColor });
    const hideNames = showNames(document, cursors);
    editor.current = quill;
    onEditor(quill);
    return () => {
      onEditor(null);
      editor.current = null;
      hideNames();
      unbind();
      cursors.destroy();
      element.remove();
    };
  }, [document, onEditor]);

  useEffect(() => {
    editor.current?.enable(!readOnly && document.loaded);
    editor.current?.root.setAttribute('aria-readonly', String(readOnly));
  }, [document, readOnly]);

  return <div ref={place} className="motet-surface" />;
}

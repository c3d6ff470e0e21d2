import Quill, { Delta } from 'quill/core.js';
import { AlignClass } from 'quill/formats/align.js';
import { BackgroundStyle } from 'quill/formats/background.js';
import Blockquote from 'quill/formats/blockquote.js';
import Bold from 'quill/formats/bold.js';
import CodeBlock, { Code } from 'quill/formats/code.js';
import { ColorStyle } from 'quill/formats/color.js';
import Header from 'quill/formats/header.js';
import Image from 'quill/formats/image.js';
import Indent from 'quill/formats/indent.js';
import Italic from 'quill/formats/italic.js';
import Link from 'quill/formats/link.js';
import List from 'quill/formats/list.js';
import Script from 'quill/formats/script.js';
import Strike from 'quill/formats/strike.js';
import Underline from 'quill/formats/underline.js';
import Video from 'quill/formats/video.js';
import QuillCursors from 'quill-cursors/core';

// Quill's core with the formats that the toolbar offers, and those that other programs or pasted text
// may bring. Its themes, pickers and toolbar stay out: the toolbar here is made of the same
// components as the rest of the application, and the bundle is a third smaller.

Quill.register(
  {
    'formats/align': AlignClass,
    'formats/background': BackgroundStyle,
    'formats/blockquote': Blockquote,
    'formats/bold': Bold,
    'formats/code': Code,
    'formats/code-block': CodeBlock,
    'formats/color': ColorStyle,
    'formats/header': Header,
    'formats/image': Image,
    'formats/indent': Indent,
    'formats/italic': Italic,
    'formats/link': Link,
    'formats/list': List,
    'formats/script': Script,
    'formats/strike': Strike,
    'formats/underline': Underline,
    'formats/video': Video,
    'modules/cursors': QuillCursors,
  },
  true,
);

export { Delta, QuillCursors };

/** The name of the surface for assistive technology, and what an empty document says. */
export interface EditorTexts {
  label: string;
  placeholder: string;
}

/** Makes an editor in `element`, which must be empty. It starts read-only: it has no document yet. */
export function createEditor(element: HTMLElement, texts: EditorTexts): Quill {
  const quill = new Quill(element, {
    readOnly: true,
    placeholder: texts.placeholder,
    modules: {
      cursors: { hideDelayMs: 2_500, hideSpeedMs: 200, transformOnTextChange: false },
      // Undo takes back what was done here, never what others did.
      history: { delay: 800, maxStack: 500, userOnly: true },
      // A dropped picture would go into the document as megabytes of text.
      uploader: { mimetypes: [] },
      keyboard: {
        bindings: {
          // Tab leaves the editor, as it leaves any field; in lists and code it indents.
          tab: { key: 'Tab', handler: () => true },
          link: {
            key: 'k',
            shortKey: true,
            handler: () => {
              element.dispatchEvent(new CustomEvent(LINK_REQUEST, { bubbles: true }));
              return false;
            },
          },
        },
      },
    },
  });
  const { root } = quill;
  root.setAttribute('role', 'textbox');
  root.setAttribute('aria-multiline', 'true');
  root.setAttribute('aria-label', texts.label);
  return quill;
}

/** The event by which the keyboard asks the toolbar for its link form. */
export const LINK_REQUEST = 'motet:link';

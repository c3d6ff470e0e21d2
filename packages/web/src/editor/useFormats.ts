import type Quill from 'quill/core.js';
import { useEffect, useState } from 'react';

/** The formats at the selection, as Quill names them; an array where the selection mixes several. */
export type Formats = Readonly<Record<string, unknown>>;

const NONE: Formats = {};

/** Follows the formats at the selection of `quill`. */
export function useFormats(quill: Quill): Formats {
  const [formats, setFormats] = useState<Formats>(NONE);
  useEffect(() => {
    const follow = () => {
      // Without the focus the last selection still counts: it is where a button of the toolbar acts.
      const range = quill.getSelection();
      if (range) setFormats(quill.getFormat(range));
    };
    quill.on('editor-change', follow);
    return () => {
      quill.off('editor-change', follow);
    };
  }, [quill]);
  return formats;
}

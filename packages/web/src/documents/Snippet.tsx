import { Mark } from '@mantine/core';
import type { SnippetPart } from '../api/types';

/** A piece of a document's text with what was looked for marked in it. */
export function Snippet({ parts }: { parts: SnippetPart[] }) {
  let start = 0;
  return parts.map(({ text, match }) => {
    const key = start;
    start += text.length;
    return match ? <Mark key={key}>{text}</Mark> : <span key={key}>{text}</span>;
  });
}

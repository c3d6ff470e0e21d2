import { Toolbar as MantineToolbar } from '@mantine/core';
import {
  IconArrowBackUp,
  IconArrowForwardUp,
  IconBlockquote,
  IconBold,
  IconClearFormatting,
  IconItalic,
  IconList,
  IconListCheck,
  IconListNumbers,
  IconSourceCode,
  IconStrikethrough,
  IconUnderline,
} from '@tabler/icons-react';
import type Quill from 'quill/core.js';
import { AlignMenu } from './AlignMenu';
import { ColorMenu } from './ColorMenu';
import { HeadingMenu } from './HeadingMenu';
import { LinkForm } from './LinkForm';
import { ICON, ToolButton } from './ToolButton';
import classes from './Toolbar.module.css';
import { useFormats } from './useFormats';

const MARKS = [
  { format: 'bold', label: 'Bold', keys: 'B', Icon: IconBold },
  { format: 'italic', label: 'Italic', keys: 'I', Icon: IconItalic },
  { format: 'underline', label: 'Underline', keys: 'U', Icon: IconUnderline },
  { format: 'strike', label: 'Strikethrough', keys: undefined, Icon: IconStrikethrough },
] as const;

const LISTS = [
  { value: 'bullet', label: 'Bulleted list', Icon: IconList },
  { value: 'ordered', label: 'Numbered list', Icon: IconListNumbers },
  { value: 'unchecked', label: 'Checklist', Icon: IconListCheck },
] as const;

const BLOCKS = [
  { format: 'blockquote', label: 'Quote', Icon: IconBlockquote },
  { format: 'code-block', label: 'Code block', Icon: IconSourceCode },
] as const;

/** What can be done to the text. Arrow keys move inside; Tab leaves. */
export function Toolbar({ quill }: { quill: Quill }) {
  const formats = useFormats(quill);
  const apply = (format: string, value: unknown) => {
    // Also brings the focus and the selection back to the text.
    quill.focus();
    quill.format(format, value, 'user');
  };
  const list = formats.list === 'checked' ? 'unchecked' : formats.list;

  return (
    <MantineToolbar
      aria-label="Formatting"
      withBorder={false}
      loop={false}
      classNames={{
        root: classes.toolbar,
        toggle: classes.toggle,
        divider: classes.divider,
      }}
    >
      <ToolButton label="Undo" keys="Z" onClick={() => quill.history.undo()}>
        <IconArrowBackUp {...ICON} />
      </ToolButton>
      <ToolButton label="Redo" keys="Shift+Z" onClick={() => quill.history.redo()}>
        <IconArrowForwardUp {...ICON} />
      </ToolButton>
      <MantineToolbar.Divider />
      <HeadingMenu level={formats.header} onChange={(level) => apply('header', level)} />
      <MantineToolbar.Divider />
      {MARKS.map(({ format, label, keys, Icon }) => (
        <ToolButton
          key={format}
          label={label}
          keys={keys}
          active={Boolean(formats[format])}
          onClick={() => apply(format, !formats[format])}
        >
          <Icon {...ICON} />
        </ToolButton>
      ))}
      <ColorMenu color={formats.color} onChange={(color) => apply('color', color)} />
      <LinkForm quill={quill} link={formats.link} />
      <MantineToolbar.Divider />
      {LISTS.map(({ value, label, Icon }) => (
        <ToolButton
          key={value}
          label={label}
          active={list === value}
          onClick={() => apply('list', list === value ? false : value)}
        >
          <Icon {...ICON} />
        </ToolButton>
      ))}
      <AlignMenu align={formats.align} onChange={(align) => apply('align', align)} />
      <MantineToolbar.Divider />
      {BLOCKS.map(({ format, label, Icon }) => (
        <ToolButton
          key={format}
          label={label}
          active={Boolean(formats[format])}
          onClick={() => apply(format, !formats[format])}
        >
          <Icon {...ICON} />
        </ToolButton>
      ))}
      <ToolButton label="Clear formatting" onClick={() => clearFormatting(quill)}>
        <IconClearFormatting {...ICON} />
      </ToolButton>
    </MantineToolbar>
  );
}

function clearFormatting(quill: Quill): void {
  const range = quill.getSelection(true);
  if (range.length > 0) {
    quill.removeFormat(range.index, range.length, 'user');
    return;
  }
  // Nothing is selected: what is typed next is plain.
  for (const format of Object.keys(quill.getFormat(range))) quill.format(format, false, 'user');
}

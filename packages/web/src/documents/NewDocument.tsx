import { Button, Menu, Text } from '@mantine/core';
import { IconChevronDown, IconFile, IconPlus } from '@tabler/icons-react';
import { useNavigate } from 'react-router';
import { notifyFailure } from '../components/notify';
import { useCreateDocument } from './queries';
import { TEMPLATES, type Template } from './templates';

const BLANK = { title: 'Untitled document' };

/** Makes a document and opens it: an empty one at once, or one from a template. */
export function NewDocument() {
  const navigate = useNavigate();
  const create = useCreateDocument();
  const createAndOpen = ({ title, content }: typeof BLANK & Partial<Template>) =>
    create.mutate(content ? { title, content } : { title }, {
      onSuccess: ({ documentId }) => navigate(`/d/${documentId}`, { state: { isNew: true } }),
      onError: (error) => notifyFailure('The document could not be created', error),
    });

  return (
    <Button.Group>
      <Button
        leftSection={<IconPlus size={18} />}
        onClick={() => createAndOpen(BLANK)}
        loading={create.isPending}
      >
        New document
      </Button>
      <Menu position="bottom-end" width={320} shadow="md" withinPortal>
        <Menu.Target>
          <Button
            px={9}
            aria-label="New document from a template"
            title="From a template"
            disabled={create.isPending}
            style={{ borderInlineStart: '1px solid rgb(255 255 255 / 35%)' }}
          >
            <IconChevronDown size={18} />
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item
            leftSection={<IconFile size={20} stroke={1.6} />}
            onClick={() => createAndOpen(BLANK)}
          >
            Blank document
          </Menu.Item>
          <Menu.Divider />
          <Menu.Label>From a template</Menu.Label>
          {TEMPLATES.map((template) => (
            <Menu.Item
              key={template.title}
              leftSection={<template.Icon size={20} stroke={1.6} />}
              onClick={() => createAndOpen(template)}
            >
              {template.title}
              <Text component="span" display="block" size="xs" c="dimmed">
                {template.purpose}
              </Text>
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
    </Button.Group>
  );
}

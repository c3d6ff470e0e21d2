import { ActionIcon, Menu, Paper, Skeleton, VisuallyHidden } from '@mantine/core';
import { IconDoorExit, IconDots, IconFileText, IconPencil, IconTrash } from '@tabler/icons-react';
import { Link } from 'react-router';
import type { DocumentSummary } from '../api/types';
import { RelativeTime } from '../components/RelativeTime';
import { RoleBadge } from '../components/RoleBadge';
import classes from './DocumentList.module.css';

interface DocumentListProps {
  documents: DocumentSummary[];
  onRename: (document: DocumentSummary) => void;
  /** Delete, or leave where the user is not the owner. */
  onDelete: (document: DocumentSummary) => void;
}

export function DocumentList({ documents, onRename, onDelete }: DocumentListProps) {
  return (
    <Paper withBorder className={classes.list}>
      <div className={classes.head} aria-hidden="true">
        <span>Title</span>
        <span>Owner</span>
        <span>Your role</span>
        <span>Changed</span>
      </div>
      <ul className={classes.rows}>
        {documents.map((document) => (
          <DocumentRow
            key={document.documentId}
            document={document}
            onRename={() => onRename(document)}
            onDelete={() => onDelete(document)}
          />
        ))}
      </ul>
    </Paper>
  );
}

interface DocumentRowProps {
  document: DocumentSummary;
  onRename: () => void;
  onDelete: () => void;
}

function DocumentRow({ document, onRename, onDelete }: DocumentRowProps) {
  const { documentId, title, role, ownerName, updatedAt } = document;
  const name = title || 'Untitled document';
  return (
    <li className={classes.row}>
      <IconFileText className={classes.icon} size={22} stroke={1.6} aria-hidden />
      <Link to={`/d/${documentId}`} className={classes.title} title={name}>
        {name}
      </Link>
      <span className={classes.owner}>{role === 'owner' ? 'You' : ownerName}</span>
      <span className={classes.role}>
        <RoleBadge role={role} />
      </span>
      <span className={classes.changed}>
        <RelativeTime time={updatedAt} />
      </span>
      <Menu position="bottom-end" shadow="md" withinPortal>
        <Menu.Target>
          <ActionIcon className={classes.menu} size={36} aria-label={`Actions for ${name}`}>
            <IconDots size={20} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {role !== 'viewer' && (
            <Menu.Item leftSection={<IconPencil size={18} />} onClick={onRename}>
              Rename
            </Menu.Item>
          )}
          {role === 'owner' ? (
            <Menu.Item
              c="var(--mantine-color-error)"
              leftSection={<IconTrash size={18} />}
              onClick={onDelete}
            >
              Delete
            </Menu.Item>
          ) : (
            <Menu.Item
              c="var(--mantine-color-error)"
              leftSection={<IconDoorExit size={18} />}
              onClick={onDelete}
            >
              Leave
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
    </li>
  );
}

const SKELETON_WIDTHS = ['46%', '62%', '38%', '54%'];

/** The list's shape while it loads. */
export function DocumentListSkeleton() {
  return (
    <Paper withBorder className={classes.list} aria-busy="true">
      <VisuallyHidden role="status">Loading your documents</VisuallyHidden>
      {SKELETON_WIDTHS.map((width) => (
        <div key={width} className={classes.placeholder}>
          <Skeleton h={22} w={22} radius="sm" />
          <Skeleton h={14} w={width} />
        </div>
      ))}
    </Paper>
  );
}

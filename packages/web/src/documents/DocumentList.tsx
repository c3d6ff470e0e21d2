import { Menu, Paper, Skeleton, VisuallyHidden } from '@mantine/core';
import {
  IconDoorExit,
  IconFileText,
  IconHistory,
  IconPencil,
  IconTrash,
} from '@tabler/icons-react';
import { Link } from 'react-router';
import type { DocumentSummary } from '../api/types';
import { Person } from '../components/Person';
import { RelativeTime } from '../components/RelativeTime';
import { RoleBadge } from '../components/RoleBadge';
import { RowMenu } from '../components/RowMenu';
import { mayEdit } from '../components/roles';
import classes from './DocumentList.module.css';
import { Snippet } from './Snippet';

/** What can be done with a document of the list. */
export interface DocumentActions {
  onRename: (document: DocumentSummary) => void;
  onActivity: (document: DocumentSummary) => void;
  onTrash: (document: DocumentSummary) => void;
  onLeave: (document: DocumentSummary) => void;
}

interface DocumentListProps extends DocumentActions {
  documents: DocumentSummary[];
}

export function DocumentList({ documents, ...actions }: DocumentListProps) {
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
          <DocumentRow key={document.documentId} document={document} {...actions} />
        ))}
      </ul>
    </Paper>
  );
}

function DocumentRow({ document, ...actions }: { document: DocumentSummary } & DocumentActions) {
  const { documentId, title, role, ownerId, ownerName, updatedAt, snippet } = document;
  const name = title || 'Untitled document';
  return (
    <li className={classes.row}>
      <IconFileText className={classes.icon} size={22} stroke={1.6} aria-hidden />
      <div className={classes.text}>
        <Link to={`/d/${documentId}`} className={classes.title} title={name}>
          {name}
        </Link>
        {snippet && snippet.length > 0 && (
          <p className={classes.snippet}>
            <Snippet parts={snippet} />
          </p>
        )}
      </div>
      <span className={classes.owner}>
        <Person userId={ownerId} name={ownerName} size={22} />
        <span>{role === 'owner' ? 'You' : ownerName}</span>
      </span>
      <span className={classes.role}>
        <RoleBadge role={role} />
      </span>
      <span className={classes.changed}>
        <RelativeTime time={updatedAt} />
      </span>
      <DocumentMenu document={document} name={name} {...actions} />
    </li>
  );
}

interface DocumentMenuProps extends DocumentActions {
  document: DocumentSummary;
  name: string;
}

function DocumentMenu(props: DocumentMenuProps) {
  const { document, name, onRename, onActivity, onTrash, onLeave } = props;
  const { role } = document;
  return (
    <RowMenu of={name} className={classes.menu}>
      {mayEdit(role) && (
        <Menu.Item leftSection={<IconPencil size={18} />} onClick={() => onRename(document)}>
          Rename
        </Menu.Item>
      )}
      {role === 'owner' && (
        <Menu.Item leftSection={<IconHistory size={18} />} onClick={() => onActivity(document)}>
          Activity
        </Menu.Item>
      )}
      {role === 'owner' ? (
        <Menu.Item
          c="var(--mantine-color-error)"
          leftSection={<IconTrash size={18} />}
          onClick={() => onTrash(document)}
        >
          Delete
        </Menu.Item>
      ) : (
        <Menu.Item
          c="var(--mantine-color-error)"
          leftSection={<IconDoorExit size={18} />}
          onClick={() => onLeave(document)}
        >
          Leave
        </Menu.Item>
      )}
    </RowMenu>
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

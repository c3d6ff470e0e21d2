import { UnstyledButton } from '@mantine/core';
import { IconServer } from '@tabler/icons-react';
import type { AuditEntry } from '../api/types';
import { LoadMore } from '../components/LoadMore';
import { Panel } from '../components/Panel';
import { Person } from '../components/Person';
import { RelativeTime } from '../components/RelativeTime';
import classes from './AuditList.module.css';
import type { useAudit } from './queries';
import { actorOf, type Part, type Subject, sentence } from './sentence';

interface AuditListProps {
  entries: ReturnType<typeof useAudit>;
  /** What stands there when there is nothing. */
  empty: string;
  /** Looks for what else happened to a document or person; names are no buttons without it. */
  onLook?: (subject: Subject, name: string) => void;
}

/** Who did what and when, a page at a time. */
export function AuditList({ entries, empty, onLook }: AuditListProps) {
  return (
    <Panel query={entries} what="What happened" empty={empty}>
      <ul className={classes.list} aria-label="What happened">
        {entries.data?.map((entry) => (
          <Entry key={entry.seq} entry={entry} onLook={onLook} />
        ))}
      </ul>
      <LoadMore list={entries}>Show earlier</LoadMore>
    </Panel>
  );
}

interface EntryProps {
  entry: AuditEntry;
  onLook: AuditListProps['onLook'];
}

function Entry({ entry, onLook }: EntryProps) {
  const { actorId, at, address } = entry;
  const actor = actorOf(entry);
  return (
    <li className={classes.entry}>
      {actorId ? (
        <Person userId={actorId} name={actor} size={28} />
      ) : (
        <span className={classes.server}>
          <IconServer size={16} stroke={1.7} aria-hidden />
        </span>
      )}
      <div className={classes.what}>
        <Name
          part={actorId ? { strong: actor, subject: { userId: actorId } } : { strong: actor }}
          onLook={onLook}
        />{' '}
        {sentence(entry).map((part) =>
          typeof part === 'string' ? (
            part
          ) : (
            <Name key={JSON.stringify(part)} part={part} onLook={onLook} />
          ),
        )}
        <div className={classes.when}>
          <RelativeTime time={at} />
          {address && <span>{address}</span>}
        </div>
      </div>
    </li>
  );
}

interface NameProps {
  part: Exclude<Part, string>;
  onLook: AuditListProps['onLook'];
}

function Name({ part: { strong, subject }, onLook }: NameProps) {
  if (!onLook || !subject) return <b>{strong}</b>;
  return (
    <UnstyledButton
      className={classes.name}
      title={`What else happened: ${strong}`}
      onClick={() => onLook(subject, strong)}
    >
      {strong}
    </UnstyledButton>
  );
}

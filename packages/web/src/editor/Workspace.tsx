import { Button, Skeleton, UnstyledButton } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { IconUserPlus } from '@tabler/icons-react';
import type Quill from 'quill/core.js';
import { useState } from 'react';
import { Link } from 'react-router';
import type { DocumentSummary } from '../api/types';
import { useIsGuest } from '../auth/me';
import { UserMenu } from '../auth/UserMenu';
import { LogoMark } from '../components/Logo';
import { mayEdit } from '../components/roles';
import { ShareDialog } from '../sharing/ShareDialog';
import { Avatars } from './Avatars';
import { DocumentTitle } from './DocumentTitle';
import { Gone } from './Gone';
import { goToPerson } from './goToPerson';
import { PageSkeleton } from './PageSkeleton';
import { ReadOnlyBar, useRoleNotice } from './readOnly';
import { StateLine } from './StateLine';
import { Surface } from './Surface';
import { Toolbar } from './Toolbar';
import { type LiveDocument, useLiveDocument } from './useLiveDocument';
import classes from './Workspace.module.css';

interface WorkspaceProps {
  documentId: string;
  /** What is known of the document besides its text; undefined until it is. */
  summary: DocumentSummary | undefined;
  isNew: boolean;
}

/** A document with everything around it. */
export function Workspace({ documentId, summary, isNew }: WorkspaceProps) {
  const live = useLiveDocument(documentId);
  const [quill, setQuill] = useState<Quill | null>(null);
  const [sharing, setSharing] = useState(false);
  const isWide = useMediaQuery('(min-width: 48em)', true, { getInitialValueInEffect: false });

  const isGuest = useIsGuest();
  useRoleNotice(live.role);

  if (live.gone) return <Gone why={live.gone} unsentText={unsentText(live)} />;

  const role = live.role ?? summary?.role;
  const readOnly = !mayEdit(role);
  const title = summary?.title ?? '';

  return (
    <div className={classes.workspace}>
      <div className={classes.bars}>
        <header className={classes.header}>
          {isGuest ? (
            <LogoMark size={32} />
          ) : (
            <UnstyledButton
              component={Link}
              to="/"
              className={classes.home}
              aria-label="Your documents"
              title="Your documents"
            >
              <LogoMark size={32} />
            </UnstyledButton>
          )}
          <div className={classes.title}>
            {summary ? (
              <DocumentTitle
                documentId={documentId}
                title={title}
                readOnly={readOnly}
                isNew={isNew}
              />
            ) : (
              <Skeleton h={18} w={180} />
            )}
          </div>
          <div className={classes.state}>
            <StateLine state={live.saveState} />
          </div>
          <div className={classes.people}>
            <Avatars
              people={live.people}
              shown={isWide ? 5 : 4}
              onFind={(person) => quill && goToPerson(quill, person)}
            />
          </div>
          {role === 'owner' && (
            <Button
              className={classes.share}
              size={isWide ? 'sm' : 'xs'}
              leftSection={<IconUserPlus size={17} />}
              onClick={() => setSharing(true)}
            >
              Share
            </Button>
          )}
          <div className={classes.user}>
            <UserMenu />
          </div>
        </header>
        <div className={classes.tools}>
          {readOnly ? <ReadOnlyBar /> : quill && <Toolbar quill={quill} />}
        </div>
      </div>
      <main className={classes.desk}>
        {live.document && live.loaded ? (
          <Surface document={live.document} readOnly={readOnly} onEditor={setQuill} />
        ) : (
          <PageSkeleton />
        )}
      </main>
      {summary && sharing && role === 'owner' && (
        <ShareDialog document={summary} onClose={() => setSharing(false)} />
      )}
    </div>
  );
}

/** The text with the edits that never reached the server; empty where there are none. */
function unsentText({ document }: LiveDocument): string {
  return document && document.status.waiting > 0 ? document.text : '';
}

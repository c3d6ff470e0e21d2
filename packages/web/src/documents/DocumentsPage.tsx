import { Button, CloseButton, Group, Stack, Text, TextInput, Title } from '@mantine/core';
import { useDebouncedValue, useDocumentTitle } from '@mantine/hooks';
import { notifications } from '@mantine/notifications';
import { IconPlus, IconSearch } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { useNavigate } from 'react-router';
import { describe } from '../api/error';
import type { DocumentSummary } from '../api/types';
import { Failure } from '../components/Failure';
import { Header } from '../components/Header';
import { DeleteDialog } from './DeleteDialog';
import { DocumentList, DocumentListSkeleton } from './DocumentList';
import { NoDocuments, NothingFound } from './Empty';
import { useCreateDocument, useDocuments } from './queries';
import { RenameDialog } from './RenameDialog';

/** A dialog that is open for a document. */
type Dialog = { kind: 'rename' | 'delete'; document: DocumentSummary };

const UNTITLED = 'Untitled document';

export function DocumentsPage() {
  useDocumentTitle('Documents · Motet');
  const navigate = useNavigate();
  const list = useDocuments();
  const create = useCreateDocument();
  const [search, setSearch] = useState('');
  const [dialog, setDialog] = useState<Dialog>();

  const [settledSearch] = useDebouncedValue(search.trim(), 150);
  const { hasNextPage, isFetchingNextPage, isError, fetchNextPage } = list;
  // The search looks at titles that are here; so while there is one, everything is brought here.
  useEffect(() => {
    if (settledSearch !== '' && hasNextPage && !isFetchingNextPage && !isError) fetchNextPage();
  }, [settledSearch, hasNextPage, isFetchingNextPage, isError, fetchNextPage]);

  const documents = list.data?.pages.flatMap((page) => page.documents) ?? [];
  const found = documents.filter((document) => matches(document, search));

  const createAndOpen = () =>
    create.mutate(UNTITLED, {
      onSuccess: ({ documentId }) => navigate(`/d/${documentId}`, { state: { isNew: true } }),
      onError: (error) =>
        notifications.show({
          color: 'red',
          title: 'The document could not be created',
          message: describe(error),
        }),
    });
  const createButton = (
    <Button leftSection={<IconPlus size={18} />} onClick={createAndOpen} loading={create.isPending}>
      New document
    </Button>
  );

  return (
    <>
      <Header />
      <Stack
        component="main"
        id="content"
        className="page-column"
        gap="lg"
        py={{ base: 24, sm: 40 }}
      >
        <Group justify="space-between">
          <Title order={1} fz={26} lts="-0.02em">
            Documents
          </Title>
          {documents.length > 0 && createButton}
        </Group>
        {documents.length > 0 && (
          <TextInput
            aria-label="Search documents"
            placeholder="Search by title or owner"
            type="search"
            leftSection={<IconSearch size={18} />}
            rightSection={
              search !== '' && (
                <CloseButton
                  size="sm"
                  aria-label="Clear the search"
                  onClick={() => setSearch('')}
                />
              )
            }
            value={search}
            onChange={(event) => setSearch(event.currentTarget.value)}
          />
        )}
        {list.isError && (
          <Failure
            title="Your documents could not be loaded"
            error={list.error}
            retry={() => list.refetch()}
            retrying={list.isFetching}
          />
        )}
        {list.isPending && <DocumentListSkeleton />}
        {list.isSuccess && documents.length === 0 && <NoDocuments action={createButton} />}
        {found.length > 0 && (
          <DocumentList
            documents={found}
            onRename={(document) => setDialog({ kind: 'rename', document })}
            onDelete={(document) => setDialog({ kind: 'delete', document })}
          />
        )}
        {documents.length > 0 && found.length === 0 && !isFetchingNextPage && (
          <NothingFound search={search} />
        )}
        <Text role="status" size="sm" c="dimmed" hidden={search === '' || found.length === 0}>
          {found.length} of {documents.length} documents
        </Text>
        {hasNextPage && search === '' && (
          <Button
            variant="default"
            mx="auto"
            onClick={() => fetchNextPage()}
            loading={isFetchingNextPage}
          >
            Show more
          </Button>
        )}
      </Stack>
      {dialog?.kind === 'rename' && (
        <RenameDialog document={dialog.document} onClose={() => setDialog(undefined)} />
      )}
      {dialog?.kind === 'delete' && (
        <DeleteDialog document={dialog.document} onClose={() => setDialog(undefined)} />
      )}
    </>
  );
}

/** Whether every word of `search` is in the title or the owner's name. */
function matches({ title, ownerName }: DocumentSummary, search: string): boolean {
  const text = `${title} ${ownerName}`.toLocaleLowerCase();
  return search
    .toLocaleLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

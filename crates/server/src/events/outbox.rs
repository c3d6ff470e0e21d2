//! Edits and checkpoints, out of the log's outbox.

use std::collections::HashMap;

use motet_bus::{Event, EventKind};
use motet_log::{DocumentLog, LogError, Outbox, OutboxKind, OutboxRow};
use motet_model::{DocumentId, Revision};

use super::{BYTES_MAX, EVENTS_MAX, ROWS_MAX, Shared, TellError, payload};

/// Changes that are read at a time, in bytes.
const PAGE_BYTES_MAX: usize = 512 << 10;

/// Rows that follow one another, of one document and one kind.
struct Stretch {
    id: DocumentId,
    kind: OutboxKind,
    first: Revision,
    last: Revision,
    at_ms: u64,
    seqs: Vec<u64>,
}

/// The rows as stretches, each of which can be read at once. Those of a document stay in order.
fn stretches(rows: &[OutboxRow]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut latest = HashMap::new();
    for row in rows {
        let before = latest.get(&(row.id, row.kind));
        match before.and_then(|at: &usize| stretches.get_mut(*at)) {
            Some(before) if row.kind == OutboxKind::Changes && row.first == before.last.next() => {
                before.last = row.last;
                before.seqs.push(row.seq);
            }
            _ => {
                latest.insert((row.id, row.kind), stretches.len());
                stretches.push(Stretch {
                    id: row.id,
                    kind: row.kind,
                    first: row.first,
                    last: row.last,
                    at_ms: row.at_ms,
                    seqs: vec![row.seq],
                });
            }
        }
    }
    stretches
}

/// What is to be sent next, and what is to be removed then.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    bytes: usize,
    told: Vec<u64>,
}

impl Batch {
    fn push(&mut self, event: Event) {
        self.bytes += event.payload.len();
        self.events.push(event);
    }

    fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_MAX || self.bytes >= BYTES_MAX
    }
}

impl Shared {
    /// Tells the first rows of a shard, and removes them; whether there are more.
    pub(super) async fn tell_outbox(&self, shard: u8) -> Result<bool, TellError> {
        let rows = self.log.outbox(shard, ROWS_MAX).await?;
        let mut batch = Batch::default();
        for stretch in stretches(&rows) {
            match stretch.kind {
                OutboxKind::Changes if self.kinds.contains(&EventKind::DocumentEdit) => {
                    self.tell_changes(shard, &mut batch, &stretch).await?;
                }
                OutboxKind::Checkpoint if self.kinds.contains(&EventKind::DocumentVersion) => {
                    batch.push(payload::version(stretch.id, stretch.last, stretch.at_ms));
                }
                // It is not to be told any more.
                _ => {}
            }
            batch.told.extend(stretch.seqs);
            if batch.is_full() {
                self.flush(shard, &mut batch).await?;
            }
        }
        self.flush(shard, &mut batch).await?;
        Ok(rows.len() >= ROWS_MAX as usize)
    }

    async fn tell_changes(
        &self,
        shard: u8,
        batch: &mut Batch,
        stretch: &Stretch,
    ) -> Result<(), TellError> {
        let id = stretch.id;
        let Some(before) = stretch.first.get().checked_sub(1) else {
            return Ok(());
        };
        let mut revision = Revision::new(before);
        while revision < stretch.last {
            let changes = match self.log.read(id, revision, PAGE_BYTES_MAX).await {
                Ok(changes) => changes,
                // Nobody is to be told any more.
                Err(LogError::Deleted { .. }) => return Ok(()),
                // It would keep all others of the shard waiting for ever.
                Err(error @ LogError::Corrupt { .. }) => {
                    tracing::error!(document = %id, %revision, %error, "edits are not told");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            if changes.is_empty() {
                tracing::error!(document = %id, %revision, "edits are not told: they are not there");
                return Ok(());
            }
            for change in changes {
                if revision == stretch.last {
                    break;
                }
                revision = revision.next();
                batch.push(payload::edit(id, revision, &change));
                if batch.is_full() {
                    self.flush(shard, batch).await?;
                }
            }
        }
        Ok(())
    }

    async fn flush(&self, shard: u8, batch: &mut Batch) -> Result<(), TellError> {
        self.send(&batch.events).await?;
        self.log.remove_told(shard, &batch.told).await?;
        *batch = Batch::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_document_are_read_together_and_stay_in_order() {
        let row = |seq, id: u8, kind, first, last| OutboxRow {
            seq,
            id: DocumentId::from_bytes([id; 16]),
            kind,
            first: Revision::new(first),
            last: Revision::new(last),
            at_ms: 0,
        };
        use OutboxKind::{Changes, Checkpoint};
        let rows = [
            row(1, 1, Changes, 1, 3),
            row(2, 2, Changes, 1, 1),
            row(3, 1, Checkpoint, 3, 3),
            row(4, 1, Changes, 4, 4),
            // A node that does not tell has appended meanwhile.
            row(5, 1, Changes, 6, 7),
            row(6, 2, Changes, 2, 2),
            row(7, 1, Changes, 8, 8),
            row(8, 1, Checkpoint, 4, 4),
        ];
        let read: Vec<_> = stretches(&rows)
            .into_iter()
            .map(|it| (it.kind, it.first.get(), it.last.get(), it.seqs))
            .collect();
        let expected = [
            (Changes, 1, 4, vec![1, 4]),
            (Changes, 1, 2, vec![2, 6]),
            (Checkpoint, 3, 3, vec![3]),
            (Changes, 6, 8, vec![5, 7]),
            (Checkpoint, 4, 4, vec![8]),
        ];
        assert_eq!(read, expected);
    }
}

//! The outbox as a table. Who stores its rows is in `lanes` and in the checkpoint's statement.

use motet_model::DocumentId;
use tokio::sync::Notify;

use super::{Failure, PostgresLog, column, count, listed_id, revision};
use crate::{LogError, OUTBOX_SHARDS, Outbox, OutboxKind, OutboxRow};

const _: () = assert!(OUTBOX_SHARDS == 16, "the statements say so");

/// What was left by this process, to be told at once.
#[derive(Debug, Default)]
pub(super) struct Left([Notify; OUTBOX_SHARDS as usize]);

impl Left {
    pub(super) fn tell(&self, id: DocumentId) {
        self.of(PostgresLog::shard(id)).notify_one();
    }

    fn of(&self, shard: u8) -> &Notify {
        &self.0[usize::from(shard % OUTBOX_SHARDS)]
    }
}

impl Outbox for PostgresLog {
    async fn outbox(&self, shard: u8, limit: u32) -> Result<Vec<OutboxRow>, LogError> {
        let select = || {
            sqlx::query(
                "SELECT document, seq, kind, first, last, at_ms FROM log_outbox
                 WHERE shard = $1 ORDER BY seq LIMIT $2",
            )
            .bind(i16::from(shard))
            .bind(i64::from(limit))
        };
        let rows = self.pool.ask(self.answer_timeout, select).await;
        let rows = rows.map_err(Failure::unavailable)?;
        let mut told = Vec::with_capacity(rows.len());
        for row in &rows {
            told.push(OutboxRow {
                id: listed_id(row)?,
                seq: number(column(row, 1)?),
                kind: match column::<i16>(row, 2)? {
                    0 => OutboxKind::Changes,
                    1 => OutboxKind::Checkpoint,
                    // A later program's, which tells it.
                    _ => break,
                },
                first: revision(column(row, 3)?),
                last: revision(column(row, 4)?),
                at_ms: number(column(row, 5)?),
            });
        }
        Ok(told)
    }

    async fn waiting(&self) -> Result<Vec<u8>, LogError> {
        let select = || {
            // A subquery that cannot be turned into a scan of the whole table.
            sqlx::query(
                "SELECT shard FROM generate_series(0, $1) AS shards (shard) WHERE (
                     SELECT true FROM log_outbox WHERE log_outbox.shard = shards.shard LIMIT 1
                 )",
            )
            .bind(i32::from(OUTBOX_SHARDS) - 1)
        };
        let rows = self.pool.ask(self.answer_timeout, select).await;
        let rows = rows.map_err(Failure::unavailable)?;
        let shards = rows.iter().map(|row| {
            let shard: i32 = column(row, 0)?;
            Ok(u8::try_from(shard).unwrap_or(0))
        });
        shards.collect()
    }

    async fn remove_told(&self, shard: u8, seqs: &[u64]) -> Result<(), LogError> {
        if seqs.is_empty() {
            return Ok(());
        }
        let seqs: Vec<_> = seqs.iter().copied().map(count).collect();
        let delete = || {
            sqlx::query("DELETE FROM log_outbox WHERE shard = $1 AND seq = ANY($2)")
                .bind(i16::from(shard))
                .bind(seqs.as_slice())
        };
        self.pool.ask(self.answer_timeout, delete).await?;
        Ok(())
    }

    async fn left(&self, shard: u8) {
        self.left.of(shard).notified().await;
    }
}

fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

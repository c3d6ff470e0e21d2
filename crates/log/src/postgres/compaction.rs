//! Putting small appends together, beside those who append and read.

use bytes::Bytes;
use motet_model::DocumentId;

use super::{
    LARGE_TIMEOUT, PostgresLog, column, count, existing, listed_id, revision, stored, uuid,
};
use crate::{
    Compact, Compacted, LogError, codec,
    compaction::{
        self, LOOSE_CHANGES_MIN, Merge, ROWS_MAX, Row, SMALL_BYTES_MAX, SMALL_CHANGES_MAX,
    },
    postgres::failure::Failure,
};

/// The last of the rows takes the new record, and those before it go, if all are still what was read: who comes
/// second waits for the first, and finds others. No row is made, so what a deletion has taken away stays away.
const MERGE: &str = "
    WITH locked AS MATERIALIZED (
        SELECT first, last FROM log_appends
        WHERE document = $1 AND last BETWEEN $2 AND $3 ORDER BY last FOR UPDATE
    ), found AS MATERIALIZED (
        SELECT count(*) = $4 AND min(first) = $2 AND max(last) = $3 AS same FROM locked
    ), gone AS (
        DELETE FROM log_appends
        WHERE document = $1 AND last >= $2 AND last < $3 AND (SELECT same FROM found)
    )
    UPDATE log_appends SET first = $2, record = $5
    WHERE document = $1 AND last = $3 AND (SELECT same FROM found)
    RETURNING true";

impl Compact for PostgresLog {
    async fn loose(
        &self,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<DocumentId>, LogError> {
        // Before every id is the one of zeros, which nothing has.
        let after = after.unwrap_or(DocumentId::from_bytes([0; 16]));
        let select = || {
            sqlx::query(
                "SELECT id FROM log_documents
                 WHERE id > $1 AND head - compacted >= $2 ORDER BY id LIMIT $3",
            )
            .bind(uuid(after))
            .bind(count(LOOSE_CHANGES_MIN))
            .bind(i64::from(limit))
        };
        let rows = self.pool.ask(LARGE_TIMEOUT, select).await;
        let rows = rows.map_err(Failure::unavailable)?;
        rows.iter().map(listed_id).collect()
    }

    async fn compact(&self, id: DocumentId) -> Result<Compacted, LogError> {
        let select = || {
            sqlx::query(
                "SELECT document.deleted, document.compacted, append.first, append.last, append.record
                 FROM log_documents AS document LEFT JOIN LATERAL (
                     SELECT first, last, CASE
                         WHEN last - first + 1 < $2 AND octet_length(record) < $3 THEN record
                     END AS record
                     FROM log_appends
                     WHERE document = $1 AND last >= document.compacted ORDER BY last LIMIT $4
                 ) AS append ON true
                 WHERE document.id = $1",
            )
            .bind(uuid(id))
            .bind(count(SMALL_CHANGES_MAX))
            .bind(count(SMALL_BYTES_MAX))
            .bind(count(ROWS_MAX))
        };
        let found = self.pool.ask(LARGE_TIMEOUT, select).await;
        let found = found.map_err(Failure::unavailable)?;
        let Some(row) = existing(id, &found)? else {
            return Ok(Compacted::default());
        };
        let through = revision(column(row, 1)?);
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            if let Some(last) = column::<Option<i64>>(row, 3)? {
                rows.push(Row {
                    first: revision(column(row, 2)?),
                    last: revision(last),
                    record: column::<Option<&[u8]>>(row, 4)?.map(Bytes::copy_from_slice),
                });
            }
        }
        drop(found);
        // They come in order, but are not said to.
        rows.sort_unstable_by_key(|row| row.last);
        // As large as it may be.
        let step = move || compaction::step(id, through, rows);
        let step = codec::work(usize::MAX, step).await??;
        let mut saves = Compacted::default();
        if let Some(merge) = &step.merge {
            if !self.merge(id, merge).await? {
                return Ok(saves);
            }
            saves = merge.saves();
        }
        let advance = || {
            sqlx::query("UPDATE log_documents SET compacted = $2 WHERE id = $1 AND compacted < $2")
                .bind(uuid(id))
                .bind(stored(step.through))
        };
        self.pool.ask(self.answer_timeout, advance).await?;
        Ok(Compacted {
            more: step.more,
            ..saves
        })
    }
}

impl PostgresLog {
    /// Whether the rows were still there.
    async fn merge(&self, id: DocumentId, merge: &Merge) -> Result<bool, LogError> {
        let update = || {
            sqlx::query(MERGE)
                .bind(uuid(id))
                .bind(stored(merge.place.first))
                .bind(stored(merge.place.last))
                .bind(count(merge.rows))
                .bind(merge.record.as_slice())
        };
        Ok(!self.pool.ask(LARGE_TIMEOUT, update).await?.is_empty())
    }
}

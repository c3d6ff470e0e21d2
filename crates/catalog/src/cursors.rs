//! How far the audit trail has been told outside.
//!
//! Rows of the trail become visible in their order, so one number says it all.
//!
//! # Invariants
//!
//! - **forward**: a cursor never goes back, whoever moves it how late.

use motet_model::{DocumentId, OrganizationId, UserId};
use serde_json::Value;
use sqlx::{Row, any::AnyRow};

use crate::{Catalog, CatalogError, none_if_empty, parsed, stored, time};

/// A row of the audit trail as it is told outside: without what can be erased.
#[derive(Clone, Debug, PartialEq)]
pub struct TrailRow {
    /// Its place: 1, 2, 3, …
    pub seq: u64,
    /// When.
    pub at_ms: u64,
    /// In which organization.
    pub organization: OrganizationId,
    /// Who, if anybody was signed in.
    pub actor: Option<UserId>,
    /// What.
    pub action: String,
    /// On which document.
    pub document: Option<DocumentId>,
    /// Upon whom.
    pub user: Option<UserId>,
    /// What else there is to know: ids, roles and numbers.
    pub details: Value,
    /// The hash of the row, in hexadecimal.
    pub hash: String,
}

impl TrailRow {
    fn from_row(row: &AnyRow) -> Result<Self, CatalogError> {
        let id = |column| none_if_empty(row, column);
        let details: String = row.try_get("details")?;
        Ok(Self {
            seq: time(row, "seq")?,
            at_ms: time(row, "at_ms")?,
            organization: parsed(row, "organization_id")?,
            actor: id("actor_id")?.and_then(|id| id.parse().ok()),
            action: row.try_get("action")?,
            document: id("document_id")?.and_then(|id| id.parse().ok()),
            user: id("user_id")?.and_then(|id| id.parse().ok()),
            details: serde_json::from_str(&details).unwrap_or_default(),
            hash: row.try_get("hash")?,
        })
    }
}

impl Catalog {
    /// The cursor of this kind, which begins at `seq` if there is none yet.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn event_cursor(&self, kind: &str, seq: u64) -> Result<u64, CatalogError> {
        let select =
            || sqlx::query("SELECT seq FROM event_cursors WHERE kind = $1").bind(kind.to_owned());
        if let Some(row) = select()
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?
        {
            return time(&row, "seq");
        }
        // Of several nodes that begin, one does.
        sqlx::query(
            "INSERT INTO event_cursors (kind, seq) VALUES ($1, $2) ON CONFLICT (kind) DO NOTHING",
        )
        .bind(kind)
        .bind(stored(seq))
        .execute(&mut *self.pool.connection().await?)
        .await?;
        time(
            &select()
                .fetch_one(&mut *self.pool.connection().await?)
                .await?,
            "seq",
        )
    }

    /// Moves the cursor forward to `seq`: what is up to there was told.
    ///
    /// # Errors
    ///
    /// `Unavailable`: it may not have moved.
    pub async fn advance_event_cursor(&self, kind: &str, seq: u64) -> Result<(), CatalogError> {
        sqlx::query("UPDATE event_cursors SET seq = $2 WHERE kind = $1 AND seq < $2")
            .bind(kind)
            .bind(stored(seq))
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }

    /// The rows of the trail after this one, in order, at most `limit`. Whoever asks again behind the last
    /// misses none.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn trail_after(&self, seq: u64, limit: u32) -> Result<Vec<TrailRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT seq, at_ms, organization_id, actor_id, action, document_id, user_id, details, hash
             FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .bind(stored(seq))
        .bind(i64::from(limit))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        rows.iter().map(TrailRow::from_row).collect()
    }
}

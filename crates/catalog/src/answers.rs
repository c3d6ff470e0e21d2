//! Answers to requests that may come once more: what was answered is answered again.
//!
//! # Invariants
//!
//! - **once**: of all requests of a user with one key, one at a time is let through, until one has been
//!   answered.
//! - **no lock stays**: whoever was let through and gave no answer for [`LOCK_MS`] is believed dead.

use motet_model::UserId;
use sqlx::Row;

use crate::{Catalog, CatalogError, stored};

/// How long a request may take, at the most.
pub const LOCK_MS: u64 = 60_000;

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its body; `None`: it was a secret, and is not kept.
    pub body: Option<String>,
}

/// What is to be done with a request that has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is the first: answer it, and say so by [`Catalog::keep_answer`] or [`Catalog::forget_answer`].
    First,
    /// One like it is under way.
    UnderWay,
    /// Another request had this key.
    Another,
    /// It was answered.
    Answered(Answer),
}

impl Catalog {
    /// Whether a request is the first with its key. `since_ms`: answers from before are forgotten.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn begin_answer(
        &self,
        user: UserId,
        key: &str,
        request_hash: &str,
        since_ms: u64,
        now_ms: u64,
    ) -> Result<Turn, CatalogError> {
        // One statement, so that of two at once one is the first.
        let taken = sqlx::query(
            "INSERT INTO idempotent_answers (user_id, key, request_hash, status, answer, created_at_ms)
             VALUES ($1, $2, $3, 0, '', $4)
             ON CONFLICT (user_id, key) DO UPDATE
             SET request_hash = excluded.request_hash, status = 0, answer = '',
                 created_at_ms = excluded.created_at_ms
             WHERE idempotent_answers.created_at_ms < $5
                OR (idempotent_answers.status = 0 AND idempotent_answers.created_at_ms < $6)",
        )
        .bind(user.to_string())
        .bind(key)
        .bind(request_hash)
        .bind(stored(now_ms))
        .bind(stored(since_ms))
        .bind(stored(now_ms.saturating_sub(LOCK_MS)))
        .execute(&mut *self.pool.connection().await?)
        .await?;
        if taken.rows_affected() > 0 {
            return Ok(Turn::First);
        }
        let row = sqlx::query(
            "SELECT request_hash, status, answer FROM idempotent_answers
             WHERE user_id = $1 AND key = $2",
        )
        .bind(user.to_string())
        .bind(key)
        .fetch_optional(&mut *self.pool.connection().await?)
        .await?;
        // Forgotten in between: whoever comes again is let through.
        let Some(row) = row else {
            return Ok(Turn::UnderWay);
        };
        if row.try_get::<String, _>("request_hash")? != request_hash {
            return Ok(Turn::Another);
        }
        // Below 0 is what was a secret.
        let status: i64 = row.try_get("status")?;
        let body = if status > 0 {
            Some(row.try_get("answer")?)
        } else {
            None
        };
        Ok(match u16::try_from(status.unsigned_abs()) {
            Ok(0) | Err(_) => Turn::UnderWay,
            Ok(status) => Turn::Answered(Answer { status, body }),
        })
    }

    /// Keeps what was answered to the first request.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn keep_answer(
        &self,
        user: UserId,
        key: &str,
        answer: &Answer,
    ) -> Result<(), CatalogError> {
        let status = i64::from(answer.status);
        sqlx::query(
            "UPDATE idempotent_answers SET status = $3, answer = $4
             WHERE user_id = $1 AND key = $2 AND status = 0",
        )
        .bind(user.to_string())
        .bind(key)
        .bind(if answer.body.is_some() {
            status
        } else {
            -status
        })
        .bind(answer.body.as_deref().unwrap_or_default())
        .execute(&mut *self.pool.connection().await?)
        .await?;
        Ok(())
    }

    /// The first request was refused and changed nothing: its key is free again.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_answer(&self, user: UserId, key: &str) -> Result<(), CatalogError> {
        sqlx::query(
            "DELETE FROM idempotent_answers WHERE user_id = $1 AND key = $2 AND status = 0",
        )
        .bind(user.to_string())
        .bind(key)
        .execute(&mut *self.pool.connection().await?)
        .await?;
        Ok(())
    }

    /// Removes all answers from before. Returns their number.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_answers(&self, before_ms: u64) -> Result<u64, CatalogError> {
        let removed = sqlx::query("DELETE FROM idempotent_answers WHERE created_at_ms < $1")
            .bind(stored(before_ms))
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(removed.rows_affected())
    }
}

//! Attempts that failed, in a row, by what tells them apart; and with keys of their own those that
//! succeeded, in rows of the same table with no failure.

use sqlx::Row;

use crate::{Catalog, CatalogError, stored, time};

/// How often something failed in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How often.
    pub count: u64,
    /// When last.
    pub last_at_ms: u64,
}

impl Catalog {
    /// How often attempts with this key failed in a row.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn failures(&self, key: &str) -> Result<Failures, CatalogError> {
        let row = sqlx::query("SELECT failures, last_at_ms FROM login_failures WHERE key = $1")
            .bind(key)
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        let Some(row) = row else {
            return Ok(Failures::default());
        };
        Ok(Failures {
            count: u64::try_from(row.try_get::<i64, _>("failures")?).unwrap_or(0),
            last_at_ms: time(&row, "last_at_ms")?,
        })
    }

    /// Counts one more, if nobody else has counted since `before` was read. Whether it did.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn count_failure(
        &self,
        key: &str,
        before: Failures,
        after: Failures,
    ) -> Result<bool, CatalogError> {
        let counted = sqlx::query(
            "INSERT INTO login_failures (key, failures, last_at_ms) VALUES ($1, $2, $3)
             ON CONFLICT (key) DO UPDATE SET failures = $2, last_at_ms = $3
             WHERE login_failures.failures = $4 AND login_failures.last_at_ms = $5",
        )
        .bind(key)
        .bind(stored(after.count))
        .bind(stored(after.last_at_ms))
        .bind(stored(before.count))
        .bind(stored(before.last_at_ms))
        .execute(&mut *self.pool.connection().await?)
        .await?;
        Ok(counted.rows_affected() > 0)
    }

    /// Forgets the failures of a key: an attempt succeeded.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_failures(&self, key: &str) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM login_failures WHERE key = $1")
            .bind(key)
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }

    /// When an attempt with this key succeeded last.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn succeeded_at(&self, key: &str) -> Result<Option<u64>, CatalogError> {
        let row =
            sqlx::query("SELECT last_at_ms FROM login_failures WHERE key = $1 AND failures = 0")
                .bind(key)
                .fetch_optional(&mut *self.pool.connection().await?)
                .await?;
        row.map(|row| time(&row, "last_at_ms")).transpose()
    }

    /// Notes that an attempt with this key succeeded.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn note_success(&self, key: &str, now_ms: u64) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO login_failures (key, failures, last_at_ms) VALUES ($1, 0, $2)
             ON CONFLICT (key) DO UPDATE SET failures = 0, last_at_ms = $2",
        )
        .bind(key)
        .bind(stored(now_ms))
        .execute(&mut *self.pool.connection().await?)
        .await?;
        Ok(())
    }

    /// Forgets all successes from before this time.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_successes_before(&self, before_ms: u64) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM login_failures WHERE failures = 0 AND last_at_ms < $1")
            .bind(stored(before_ms))
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }

    /// Forgets all failures from before this time.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_failures_before(&self, before_ms: u64) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM login_failures WHERE failures > 0 AND last_at_ms < $1")
            .bind(stored(before_ms))
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }
}

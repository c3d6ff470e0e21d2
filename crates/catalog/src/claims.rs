//! Jobs that one node does at a time.
//!
//! A claim is a lease by the nodes' own clocks: a node that is stopped for longer than it lasts may find
//! somebody else at its job. So what is done under one must be harmless when two do it at once; the claim
//! only saves the work. An embedded database belongs to one node, which need not ask.

use motet_model::NodeId;

use crate::{Catalog, CatalogError, database::Database, stored};

impl Catalog {
    /// Claims a job for `holder` until `until_ms`, or keeps it for longer. Whether it has it.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn claim(
        &self,
        job: &str,
        holder: NodeId,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<bool, CatalogError> {
        if self.database == Database::Sqlite {
            return Ok(true);
        }
        let claimed = sqlx::query(
            "INSERT INTO claims (job, holder, until_ms) VALUES ($1, $2, $3)
             ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
             WHERE claims.holder = excluded.holder OR claims.until_ms <= $4",
        )
        .bind(job)
        .bind(holder.to_string())
        .bind(stored(until_ms))
        .bind(stored(now_ms))
        .execute(&mut *self.pool.connection().await?)
        .await?;
        Ok(claimed.rows_affected() > 0)
    }

    /// Lets others have the job, if it is the holder's.
    ///
    /// # Errors
    ///
    /// `Unavailable`: others have it when its time is over.
    pub async fn release(&self, job: &str, holder: NodeId) -> Result<(), CatalogError> {
        if self.database == Database::Sqlite {
            return Ok(());
        }
        sqlx::query("DELETE FROM claims WHERE job = $1 AND holder = $2")
            .bind(job)
            .bind(holder.to_string())
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }
}

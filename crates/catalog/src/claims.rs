//! Jobs that one node does at a time.
//!
//! A claim is a lease by the database's clock: whatever those of the nodes say, it lasts as long for all of them. A
//! node that is stopped for longer may find somebody else at its job. So what is done under one must be
//! harmless when two do it at once; the claim only saves the work. An embedded database belongs to one node,
//! which need not ask.

use motet_model::NodeId;
use sqlx::AssertSqlSafe;

use crate::{Catalog, CatalogError, database::Database, stored};

impl Catalog {
    /// Claims a job for `holder` for so long, or keeps it for so long from now on. Whether it has it.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn claim(
        &self,
        job: &str,
        holder: NodeId,
        time_ms: u64,
    ) -> Result<bool, CatalogError> {
        if self.database == Database::Sqlite {
            return Ok(true);
        }
        let now_ms = self.database.now_ms();
        let claimed = sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO claims (job, holder, until_ms) VALUES ($1, $2, {now_ms} + $3)
             ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
             WHERE claims.holder = excluded.holder OR claims.until_ms <= {now_ms}",
        )))
        .bind(job)
        .bind(holder.to_string())
        .bind(stored(time_ms))
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

    /// Forgets the claims whose time is over: nobody has to come back for a job.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_claims(&self) -> Result<(), CatalogError> {
        let now_ms = self.database.now_ms();
        let delete = format!("DELETE FROM claims WHERE until_ms <= {now_ms}");
        sqlx::query(AssertSqlSafe(delete))
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }
}

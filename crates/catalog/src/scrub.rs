//! What was removed, and is still somewhere in the database's files.

use sqlx::{AnyConnection, Row};

use crate::{Catalog, CatalogError, database::Database, time};

/// Tables with something of a person in PostgreSQL.
const POSTGRES: &str = "
    VACUUM (FULL) users, avatars, identities, refresh_tokens, api_keys, grants, link_users,
                  link_removals, links, group_members, documents, idempotent_answers,
                  login_failures, audit_addresses, search_documents, search_parts";

/// How often [`CatalogError::Unavailable`] is put off while somebody reads; each takes a tenth of a second.
const WAITS: u32 = 50;

impl Catalog {
    /// Overwrites what was removed and is still somewhere in the database's files. It rewrites the database,
    /// and whoever writes waits meanwhile.
    ///
    /// SQLite overwrites rows that are deleted (`secure_delete`), but copies of them may be left where it
    /// moved rows within its pages, and in the write-ahead log. PostgreSQL keeps them until tables are
    /// rewritten; that leaves its write-ahead log, which it overwrites by and by, and any copies of that.
    ///
    /// # Errors
    ///
    /// `Unavailable`: not done, try again; also while somebody reads for long.
    pub async fn scrub(&self) -> Result<(), CatalogError> {
        match self.database {
            Database::Sqlite => self.scrub_sqlite().await,
            Database::Postgres => self.scrub_postgres().await,
        }
    }

    async fn scrub_sqlite(&self) -> Result<(), CatalogError> {
        sqlx::query("VACUUM")
            .execute(&mut *self.pool.connection().await?)
            .await?;
        let done = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut *self.pool.connection().await?)
            .await?;
        if done.try_get::<i64, _>("busy")? == 0 {
            Ok(())
        } else {
            Err(being_read())
        }
    }

    async fn scrub_postgres(&self) -> Result<(), CatalogError> {
        let mut connection = self.pool.connection().await?;
        // It has as much time as it takes, which nobody else is to have.
        connection.close_on_drop();
        wait_for_readers(&mut connection).await?;
        for statement in ["SET statement_timeout = 0", POSTGRES] {
            sqlx::raw_sql(statement).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// Waits for all who still see what was there a moment ago: as long as they do, it is kept.
async fn wait_for_readers(connection: &mut AnyConnection) -> Result<(), CatalogError> {
    let now = sqlx::query("SELECT CAST(pg_current_xact_id() AS TEXT) AS now")
        .fetch_one(&mut *connection)
        .await?;
    let now: String = now.try_get("now")?;
    for _ in 0..WAITS {
        let readers = sqlx::query(
            "SELECT COUNT(*) AS readers FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND age(backend_xmin) > age(CAST(CAST($1 AS xid8) AS xid))",
        )
        .bind(&now)
        .fetch_one(&mut *connection)
        .await?;
        if time(&readers, "readers")? == 0 {
            return Ok(());
        }
        sqlx::query("SELECT pg_sleep(0.1)")
            .execute(&mut *connection)
            .await?;
    }
    Err(being_read())
}

fn being_read() -> CatalogError {
    CatalogError::Unavailable("the database is being read".into())
}

//! A whole catalog into another one, in the same kind of database or in the other.
//!
//! Which tables and columns there are is asked of the databases: a table that a later migration
//! makes is copied without a word here. What is not to be copied is named in `tables`.
//!
//! # Invariants
//!
//! - **whole**: each table is copied or named as skipped. Where one is neither, nothing is copied.
//! - **into nothing**: who has accounts, documents or an audit trail keeps them, and is given no
//!   others.
//! - **all or none**: it is one transaction, which is stored only after all of it was read back and
//!   found to be what the source has.

mod rows;
mod tables;

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use futures_util::TryStreamExt;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Connection, Row, pool::PoolConnection};

use self::{
    rows::{Batch, Digest},
    tables::Table,
};
use crate::{
    Catalog, CatalogError,
    database::{Database, PRESENCE, is_postgres, with_name},
    search,
};

/// The name of connections that copy, which those of a server do not have.
pub(crate) const COPIER: &str = "motet-migrate";

/// What makes a catalog one that is used.
const USED: [(&str, &str); 3] = [
    ("users", "accounts"),
    ("documents", "documents"),
    ("audit", "an audit trail"),
];

/// A table that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
}

/// Why a catalog was not copied. Nothing of it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The target is in use already. Choose another.
    #[error("the target has {what} already")]
    Used {
        /// What it has.
        what: &'static str,
    },
    /// This program does not know how to copy a table, and must be taught.
    #[error("the table {table} cannot be copied: {why}")]
    Table {
        /// Which.
        table: String,
        /// What is wrong with it.
        why: String,
    },
    /// PostgreSQL takes no text with U+0000. Change it in the source.
    #[error(
        "a text in the table {table}, column {column}, has a U+0000, which PostgreSQL does not take"
    )]
    Text {
        /// In which table.
        table: String,
        /// In which column.
        column: String,
    },
    /// What was read back is not what the source has. Look for a fault of disk, memory or program.
    #[error("the table {table} is not the same on both sides")]
    Different {
        /// Which.
        table: String,
    },
    /// A database cannot be used.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl From<sqlx::Error> for CopyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Catalog(error.into())
    }
}

/// Whether the database has this table.
pub(crate) async fn has_table(
    connection: &mut AnyConnection,
    name: &str,
) -> Result<bool, CatalogError> {
    let names = tables::names(connection).await?;
    Ok(names.iter().any(|it| it == name))
}

impl Catalog {
    /// The URL of a PostgreSQL database with the name of those who copy, whom
    /// [`others_at`](Self::others_at) passes over. Any other location stays as it is.
    #[must_use]
    pub fn location_to_copy(location: &str) -> String {
        if is_postgres(location) {
            with_name(location, COPIER)
        } else {
            location.to_owned()
        }
    }

    /// The connections of servers and commands to the catalog in PostgreSQL at `location`, by the
    /// name that the database lists them under, with their number. Who is in another schema of the
    /// same database is not among them. Of a file nothing is known.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn others_at(location: &str) -> Result<Vec<(String, u64)>, CatalogError> {
        if !is_postgres(location) {
            return Ok(Vec::new());
        }
        let mut connection = connect(location).await?;
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT a.application_name AS name, COUNT(*) AS connections
             FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
             WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND a.application_name <> $1
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (CAST(l.classid AS BIGINT) << 32) | CAST(l.objid AS BIGINT) = {PRESENCE}
             GROUP BY a.application_name ORDER BY a.application_name"
        )))
        .bind(COPIER)
        .fetch_all(&mut connection)
        .await?;
        connection.close().await?;
        let others = rows.iter().map(|row| {
            let connections: i64 = row.try_get("connections")?;
            Ok((
                row.try_get("name")?,
                connections.try_into().unwrap_or_default(),
            ))
        });
        others.collect()
    }

    /// What the catalog at `location` has that a fresh one has not, if there is a catalog at all.
    /// It is not changed, also not brought up to date.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn used_at(location: &str) -> Result<Option<&'static str>, CatalogError> {
        if !is_postgres(location) && !Path::new(location).is_file() {
            return Ok(None);
        }
        let mut connection = connect(location).await?;
        let what = used(&mut connection).await?;
        connection.close().await?;
        Ok(what)
    }

    /// Looks whether everything could be copied into `target`, as far as that can be told
    /// beforehand.
    ///
    /// # Errors
    ///
    /// As [`copy_to`](Self::copy_to), but for `Different`.
    pub async fn check_copy_to(&self, target: &Self) -> Result<(), CopyError> {
        let mut from = self.pool.connection().await?;
        let mut to = target.pool.connection().await?;
        if let Some(what) = used(&mut to).await? {
            return Err(CopyError::Used { what });
        }
        let tables = same_tables(&mut from, &mut to).await?;
        if (self.database, target.database) == (Database::Sqlite, Database::Postgres) {
            for table in &tables {
                table.check_texts(&mut from).await?;
            }
        }
        Ok(())
    }

    /// Copies everything but the index of search into `target`, whose index is made anew: titles at
    /// once, contents when a server starts there. `rows` counts what was written.
    ///
    /// What a fresh catalog has is replaced. Both are read a row at a time.
    ///
    /// # Errors
    ///
    /// Each variant of [`CopyError`].
    pub async fn copy_to(
        &self,
        target: &Self,
        rows: &AtomicU64,
    ) -> Result<Vec<CopiedTable>, CopyError> {
        let (mut from, mut to) = (self.patient().await?, target.patient().await?);
        let mut from = from.begin_with(snapshot(self.database)).await?;
        let mut to = to.begin_with(target.database.begin()).await?;
        let tables = same_tables(&mut from, &mut to).await?;
        if target.database == Database::Postgres {
            lock(&mut to, &tables).await?;
        }
        if let Some(what) = used(&mut to).await? {
            return Err(CopyError::Used { what });
        }
        for table in tables.iter().rev() {
            let delete = format!("DELETE FROM {}", table.quoted());
            sqlx::query(AssertSqlSafe(delete)).execute(&mut *to).await?;
        }
        let mut digests = Vec::with_capacity(tables.len());
        for table in &tables {
            digests.push(copy(&mut from, &mut to, table, rows).await?);
        }
        let mut copied = Vec::with_capacity(tables.len());
        for (table, digest) in tables.iter().zip(digests) {
            if read_back(&mut to, table).await? != digest {
                let table = table.name.clone();
                return Err(CopyError::Different { table });
            }
            copied.push(CopiedTable {
                name: table.name.clone(),
                rows: digest.rows,
            });
        }
        search::refill(&mut to).await?;
        to.commit().await?;
        Ok(copied)
    }

    /// A connection that has as much time as it takes, which nobody else is to have.
    async fn patient(&self) -> Result<PoolConnection<Any>, CatalogError> {
        let mut connection = self.pool.connection().await?;
        connection.close_on_drop();
        if self.database == Database::Postgres {
            let settings = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
            sqlx::raw_sql(settings).execute(&mut *connection).await?;
        }
        Ok(connection)
    }
}

/// A connection of its own, which changes nothing.
async fn connect(location: &str) -> Result<AnyConnection, CatalogError> {
    sqlx::any::install_default_drivers();
    let url = if is_postgres(location) {
        with_name(location, COPIER)
    } else {
        format!("sqlite://{location}?mode=ro")
    };
    Ok(AnyConnection::connect(&url).await?)
}

/// All statements see the same.
const fn snapshot(database: Database) -> &'static str {
    match database {
        Database::Sqlite => "BEGIN",
        Database::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    }
}

async fn used(connection: &mut AnyConnection) -> Result<Option<&'static str>, CatalogError> {
    let names = tables::names(connection).await?;
    for (table, what) in USED {
        if names.iter().any(|name| name == table) {
            let any = format!("SELECT 1 AS one FROM {table} LIMIT 1");
            let any = sqlx::query(AssertSqlSafe(any)).fetch_optional(&mut *connection);
            if any.await?.is_some() {
                return Ok(Some(what));
            }
        }
    }
    Ok(None)
}

/// The tables to copy, each after those that it refers to.
async fn same_tables(
    from: &mut AnyConnection,
    to: &mut AnyConnection,
) -> Result<Vec<Table>, CopyError> {
    let (source, target) = (tables::tables(from).await?, tables::tables(to).await?);
    tables::compare(&source, &target)?;
    tables::in_order(target)
}

/// Keeps everybody else from writing.
async fn lock(to: &mut AnyConnection, tables: &[Table]) -> Result<(), CatalogError> {
    let names: Vec<_> = tables.iter().map(Table::quoted).collect();
    let lock = format!(
        "LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE",
        names.join(", ")
    );
    sqlx::query(AssertSqlSafe(lock)).execute(to).await?;
    Ok(())
}

async fn copy(
    from: &mut AnyConnection,
    to: &mut AnyConnection,
    table: &Table,
    written: &AtomicU64,
) -> Result<Digest, CopyError> {
    let mut digest = Digest::default();
    let mut batch = Batch::new(table);
    let select = table.select(Database::of(from));
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(from);
    while let Some(row) = rows.try_next().await? {
        let row = table.values(&row)?;
        digest.add(&row);
        batch.push(row);
        if batch.is_full() {
            written.fetch_add(batch.insert(to).await?, Relaxed);
        }
    }
    written.fetch_add(batch.insert(to).await?, Relaxed);
    Ok(digest)
}

async fn read_back(to: &mut AnyConnection, table: &Table) -> Result<Digest, CopyError> {
    let mut digest = Digest::default();
    let select = table.select(Database::of(to));
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(to);
    while let Some(row) = rows.try_next().await? {
        digest.add(&table.values(&row)?);
    }
    Ok(digest)
}

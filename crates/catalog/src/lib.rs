//! Who there is, which documents there are, and who may do what with them.
//!
//! SQL that every supported database takes: one text for each query, portable types, `$1` for
//! parameters. Which database it is, is said once, in [`Catalog::open_sqlite`].
//!
//! # Not here
//!
//! The content of documents (`log`), passwords and tokens as such (`server`): the catalog stores their
//! hashes. Times and ids come in as arguments.

mod documents;
mod role;
mod tokens;
mod users;

use std::{path::Path, time::Duration};

use sqlx::{
    AnyPool,
    any::{AnyPoolOptions, AnyRow},
};

pub use documents::{Cursor, Document, Grant};
pub use role::Role;
pub use tokens::{RefreshToken, Rotation};
pub use users::User;

/// Connections to the database; few are needed, since SQLite lets one write at a time.
const CONNECTIONS_MAX: u32 = 8;
/// How long a query waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The database of users and documents. Clones share it.
#[derive(Clone, Debug)]
pub struct Catalog {
    pool: AnyPool,
}

/// Why the catalog did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// An account with this e-mail address exists. Choose another.
    #[error("an account with this e-mail address exists")]
    EmailTaken,
    /// There is no such thing, or not for this user.
    #[error("there is no such {what}")]
    NotFound {
        /// What.
        what: &'static str,
    },
    /// The database cannot be used, or what it holds makes no sense. Retry later.
    #[error("the catalog is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl Catalog {
    /// Opens the catalog in the SQLite file `path`, makes it if it is not there, and brings its tables
    /// up to date.
    ///
    /// # Errors
    ///
    /// `Unavailable`: the file cannot be used, or a later program wrote it.
    pub async fn open_sqlite(path: &Path) -> Result<Self, CatalogError> {
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    for pragma in [
                        "PRAGMA busy_timeout = 10000",
                        "PRAGMA journal_mode = WAL",
                        "PRAGMA synchronous = FULL",
                        "PRAGMA foreign_keys = ON",
                        "PRAGMA secure_delete = ON",
                    ] {
                        sqlx::query(pragma).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .connect(&format!("sqlite://{}?mode=rwc", path.display()))
            .await?;
        let migrated = sqlx::migrate!().run(&pool).await;
        migrated.map_err(|error| CatalogError::Unavailable(Box::new(error)))?;
        Ok(Self { pool })
    }

    /// Waits for queries under way, and closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A column that holds an id, a role, … as text.
fn parsed<T>(row: &AnyRow, column: &str) -> Result<T, CatalogError>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    use sqlx::Row;
    let text: String = row.try_get(column)?;
    text.parse()
        .map_err(|error| CatalogError::Unavailable(Box::new(error)))
}

/// Times are stored as the signed integers that databases have.
fn stored(time_ms: u64) -> i64 {
    i64::try_from(time_ms).unwrap_or(i64::MAX)
}

fn time(row: &AnyRow, column: &str) -> Result<u64, CatalogError> {
    use sqlx::Row;
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

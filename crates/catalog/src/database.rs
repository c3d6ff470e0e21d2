//! Which database a catalog is in, and how it is opened. What else differs between them is in `holds`
//! and `search`.
//!
//! The tables have one text for both. Where it says `TEXT`, PostgreSQL is told to compare bytes, as
//! SQLite does, so that lists have one order wherever they are.

use std::{path::Path, time::Duration};

use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, Row, SqlSafeStr, Transaction,
    any::AnyPoolOptions,
    migrate::{Migration, Migrator},
};
use tokio::time::timeout;

use crate::{
    Catalog, CatalogError, copy,
    pool::{ACQUIRE_TIMEOUT, Pool},
    search, users,
};

/// Connections to SQLite; few are needed, since it lets one write at a time.
const SQLITE_CONNECTIONS_MAX: u32 = 8;
/// Connections of who only reads.
const READERS_MAX: u32 = 4;
/// Connections of one node to PostgreSQL; its default is 100 for all nodes.
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// How long a connection to PostgreSQL stays open that nobody uses.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Time-outs of PostgreSQL, from the shortest to the longest: a node that has vanished within an act must
/// not keep its locks until others give up on them.
const SESSION: &str = "
    SET idle_in_transaction_session_timeout = '5s';
    SET lock_timeout = '10s';
    SET statement_timeout = '30s'";

/// What every connection to a schema of PostgreSQL holds with all others, so that it can be told from other
/// schemas of the same database whether anybody is there. Nobody waits for it.
pub(crate) const PRESENCE: &str = "hashtextextended(current_schema() || ' catalog in use', 0)";

/// The table of migrations in SQLite.
pub(crate) const SQLITE_MIGRATIONS: &str = "_sqlx_migrations";
/// The table of migrations in PostgreSQL, where others keep theirs beside it.
pub(crate) const POSTGRES_MIGRATIONS: &str = "catalog_migrations";

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    pub(crate) fn of(connection: &AnyConnection) -> Self {
        match connection.backend_name() {
            "PostgreSQL" => Self::Postgres,
            _ => Self::Sqlite,
        }
    }

    /// The database's own time, in ms since the Unix epoch: one clock for all nodes.
    pub(crate) const fn now_ms(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Self::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// SQLite has to know at once that something will be written: later it may find out that what was
    /// read has changed. PostgreSQL shows each statement what is there by then.
    pub(crate) const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }
}

impl Catalog {
    /// Opens the catalog in the database at `location`: a URL that begins with `postgres://` or
    /// `postgresql://`, or else the path of a SQLite file.
    ///
    /// # Errors
    ///
    /// `Unavailable`: it cannot be used, or a later program wrote it.
    pub async fn open(location: &str) -> Result<Self, CatalogError> {
        if is_postgres(location) {
            Self::open_postgres(location).await
        } else {
            Self::open_sqlite(Path::new(location)).await
        }
    }

    /// Opens the catalog in the SQLite file `path`, makes it if it is not there, and brings its tables
    /// up to date.
    ///
    /// # Errors
    ///
    /// `Unavailable`: the file cannot be used, or a later program wrote it.
    pub async fn open_sqlite(path: &Path) -> Result<Self, CatalogError> {
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new()
            .max_connections(SQLITE_CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A file does not go away, and to ask costs as much as a query.
            .test_before_acquire(false)
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
        let database = Database::Sqlite;
        migrate(&pool, database).await?;
        let pool = Pool::new(pool, database);
        Ok(Self { pool, database })
    }

    /// Opens the catalog in a PostgreSQL database, and brings its tables up to date. Any number of nodes
    /// may do so at once. The URL is that of libpq: `postgres://user:password@host/name?sslmode=…`.
    ///
    /// # Errors
    ///
    /// `Unavailable`: the database cannot be used, or a later program wrote it.
    pub async fn open_postgres(url: &str) -> Result<Self, CatalogError> {
        sqlx::any::install_default_drivers();
        let url = named(url);
        let pool = AnyPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(SESSION).execute(&mut *connection).await?;
                    let present = format!("SELECT pg_advisory_lock_shared({PRESENCE})");
                    let present = sqlx::query(AssertSqlSafe(present));
                    present.execute(connection).await?;
                    Ok(())
                })
            })
            .connect(&url)
            .await?;
        // Tables may take longer than a request has time, and so may the node that makes them.
        let patient = AnyPoolOptions::new().max_connections(1);
        let patient = patient.connect(&url).await?;
        let database = Database::Postgres;
        migrate(&patient, database).await?;
        patient.close().await;
        let pool = Pool::new(pool, database);
        Ok(Self { pool, database })
    }

    /// Opens the catalog at `location` (see [`open`](Self::open)) only to read. It is not changed, also not
    /// brought up to date.
    ///
    /// # Errors
    ///
    /// `Outdated`. `NotFound`: there is none. `Unavailable`: it cannot be used, or a later program wrote it.
    pub async fn open_to_read(location: &str) -> Result<Self, CatalogError> {
        sqlx::any::install_default_drivers();
        let (database, url) = if is_postgres(location) {
            (Database::Postgres, named(location))
        } else if Path::new(location).is_file() {
            (Database::Sqlite, format!("sqlite://{location}?mode=ro"))
        } else {
            return Err(CatalogError::NotFound { what: "catalog" });
        };
        let pool = AnyPoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    let settings: &[&str] = match database {
                        Database::Sqlite => &["PRAGMA busy_timeout = 10000"],
                        Database::Postgres => &[SESSION, "SET default_transaction_read_only = on"],
                    };
                    for settings in settings {
                        sqlx::raw_sql(*settings).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            })
            .connect(&url)
            .await?;
        check_migrations(&pool, database).await?;
        let pool = Pool::new(pool, database);
        Ok(Self { pool, database })
    }

    /// Whether the database answers, to this or, where all connections are in use, to others meanwhile.
    pub async fn answers(&self, within: Duration) -> bool {
        let before = self.pool.given();
        let asking = async {
            let ask = sqlx::query("SELECT 1");
            ask.execute(&mut *self.pool.connection().await?).await?;
            Ok::<_, CatalogError>(())
        };
        match timeout(within, asking).await {
            Ok(answer) => answer.is_ok(),
            Err(_) => self.pool.given() != before,
        }
    }

    /// Waits for queries under way, and closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that will write.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, CatalogError> {
        self.pool.begin().await
    }
}

pub(crate) fn is_postgres(location: &str) -> bool {
    location.starts_with("postgres://") || location.starts_with("postgresql://")
}

/// The URL with the name by which the database lists this program, unless it has one.
fn named(url: &str) -> String {
    if url.contains("application_name=") {
        return url.to_owned();
    }
    with_name(url, "motet-catalog")
}

/// The URL with this name, whichever else it has.
pub(crate) fn with_name(url: &str, name: &str) -> String {
    let before = if url.contains('?') { '&' } else { '?' };
    format!("{url}{before}application_name={name}")
}

/// Brings the tables up to date, and then what is made from them.
async fn migrate(pool: &AnyPool, database: Database) -> Result<(), CatalogError> {
    let migrated = migrator(database).run(pool).await;
    migrated.map_err(|error| CatalogError::Unavailable(Box::new(error)))?;
    users::fold_names(pool, database).await?;
    search::prepare(pool, database).await
}

/// Whether the tables have been through the steps of this program, no less and no more.
async fn check_migrations(pool: &AnyPool, database: Database) -> Result<(), CatalogError> {
    let mut connection = pool.acquire().await?;
    let table = match database {
        Database::Sqlite => SQLITE_MIGRATIONS,
        Database::Postgres => POSTGRES_MIGRATIONS,
    };
    if !copy::has_table(&mut connection, table).await? {
        return Err(CatalogError::NotFound { what: "catalog" });
    }
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT version FROM {table} WHERE success ORDER BY version"
    )))
    .fetch_all(&mut *connection)
    .await?;
    let found = rows.iter().map(|row| row.try_get::<i64, _>("version"));
    let found: Vec<i64> = found.collect::<Result<_, _>>()?;
    let known: Vec<_> = migrator(database).iter().map(|it| it.version).collect();
    if found == known {
        Ok(())
    } else if found.iter().all(|version| known.contains(version)) {
        Err(CatalogError::Outdated)
    } else {
        Err(CatalogError::Unavailable("a later program wrote it".into()))
    }
}

fn migrator(database: Database) -> Migrator {
    let migrator = sqlx::migrate!();
    if database == Database::Sqlite {
        return migrator;
    }
    let migrations = migrator.iter().map(|migration| Migration {
        // Its checksum stays that of the common text.
        sql: AssertSqlSafe(postgres_text(migration.sql.as_str())).into_sql_str(),
        ..migration.clone()
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(POSTGRES_MIGRATIONS);
    migrator
}

/// The text of tables as PostgreSQL takes it.
pub(crate) fn postgres_text(sql: &str) -> String {
    sql.replace(" TEXT ", " TEXT COLLATE \"C\" ")
}

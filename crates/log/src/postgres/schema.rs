//! Connections, what they are set to, and the tables.

use std::{cmp::Ordering, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection, Row,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::failure::Failure;
use crate::LogError;

/// How long it may take to connect.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long bringing the tables up to date may take, also while another node does so.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(600);

/// Where it is kept which steps the tables have been through: the catalog's are its own.
const MIGRATIONS_TABLE: &str = "log_migrations";

/// Every statement here looks up by key, whatever the statistics of a young table say, and has one plan.
/// A weaker `synchronous_commit` of the server's configuration does not count here.
const SESSION: &str = "
    SET statement_timeout = '60s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '60s';
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SELECT pg_is_in_recovery(), set_config('synchronous_commit',
        CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
        false)";

/// How to connect to the database at `url`.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, LogError> {
    let options: PgConnectOptions = url
        .parse()
        .map_err(|error: sqlx::Error| Failure::from(error).unavailable())?;
    // The name by which the database lists this program.
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("motet-log"),
    };
    Ok(options.disable_statement_logging())
}

/// Connects for statements of the log.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Failure> {
    let connecting = async {
        let mut connection = options.connect().await?;
        prepare(&mut connection).await?;
        Ok::<_, sqlx::Error>(connection)
    };
    let connected = match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(Failure::from),
        Err(_) => Err(Failure::timeout()),
    };
    connected.map_err(Failure::unsent)
}

/// Makes a connection one for statements of the log.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = sqlx::raw_sql(SESSION).fetch_one(&mut *connection).await?;
    if row.try_get(0)? {
        return Err(sqlx::Error::Protocol("it is a standby".to_owned()));
    }
    Ok(())
}

/// Makes the tables, or brings them up to date. Several nodes may do so at once.
pub(super) async fn migrate(options: &PgConnectOptions) -> Result<(), LogError> {
    let unavailable = |error: sqlx::Error| Failure::from(error).unavailable();
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_with(options.clone())
        .await
        .map_err(unavailable)?;
    let fsync: String = sqlx::query_scalar("SELECT current_setting('fsync')")
        .fetch_one(&pool)
        .await
        .map_err(unavailable)?;
    if fsync == "off" {
        tracing::warn!(
            "PostgreSQL runs with fsync = off: a loss of power loses what was acknowledged"
        );
    }
    let migrator = migrator();
    let migrated = timeout(MIGRATION_TIMEOUT, migrator.run(&pool)).await;
    let migrated = migrated.map_err(|_| Failure::timeout().unavailable())?;
    let supported = latest(&migrator);
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > supported => LogError::NewerFormat {
            found: format(found),
            supported: format(supported),
        },
        error => LogError::Unavailable {
            detail: error.to_string(),
        },
    })?;
    pool.close().await;
    Ok(())
}

/// Whether the tables are those of this program.
pub(super) async fn check(options: &PgConnectOptions) -> Result<(), LogError> {
    let failed = |error: sqlx::Error| Failure::from(error).unavailable();
    let mut connection = connect(options).await.map_err(Failure::unavailable)?;
    let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(MIGRATIONS_TABLE)
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    if !there {
        return Err(LogError::Unavailable {
            detail: "the database has none".to_owned(),
        });
    }
    let found: i64 = sqlx::query_scalar("SELECT COALESCE(max(version), 0) FROM log_migrations")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let _closed = connection.close().await;
    let (found, supported) = (format(found), format(latest(&migrator())));
    match found.cmp(&supported) {
        Ordering::Greater => Err(LogError::NewerFormat { found, supported }),
        Ordering::Less => Err(LogError::OlderFormat { found, supported }),
        Ordering::Equal => Ok(()),
    }
}

fn migrator() -> Migrator {
    let mut migrator: Migrator = sqlx::migrate!("migrations/postgres");
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}

/// The last step.
fn latest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|it| it.version).max().unwrap_or(0)
}

fn format(version: i64) -> u32 {
    version.try_into().unwrap_or(u32::MAX)
}

/// Removes for good, from the tables, the rows that were deleted. Takes no lock that others wait for.
pub(super) async fn vacuum(options: &PgConnectOptions) -> Result<(), Failure> {
    let mut connection = connect(options).await?;
    sqlx::raw_sql("SET statement_timeout = 0; SET lock_timeout = 0")
        .execute(&mut connection)
        .await?;
    sqlx::raw_sql("VACUUM log_documents, log_appends, log_checkpoints")
        .execute(&mut connection)
        .await?;
    let _closed = connection.close().await;
    Ok(())
}

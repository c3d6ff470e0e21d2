//! Connections, what they are set to, and the tables.

use std::time::Duration;

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
    let mut migrator: Migrator = sqlx::migrate!("migrations/postgres");
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    let migrated = timeout(MIGRATION_TIMEOUT, migrator.run(&pool)).await;
    let migrated = migrated.map_err(|_| Failure::timeout().unavailable())?;
    let supported = migrator.iter().map(|it| it.version).max().unwrap_or(0);
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > supported => LogError::NewerFormat {
            found: found.try_into().unwrap_or(u32::MAX),
            supported: supported.try_into().unwrap_or(u32::MAX),
        },
        error => LogError::Unavailable {
            detail: error.to_string(),
        },
    })?;
    pool.close().await;
    Ok(())
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

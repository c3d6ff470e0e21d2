//! Where documents and people are kept, as the settings say: in files of the data directory, which belong to
//! one server, or in a PostgreSQL database, which any number of nodes share.

use anyhow::Context;
use motet_bus::EventKind;
use motet_catalog::Catalog;
use motet_log::{AnyLog, LogError, OutboxSettings, PostgresLog, PostgresSettings, SqliteLog};

use crate::config::Config;

/// Opens the catalog, and makes it if it is not there.
pub(crate) async fn open_catalog(config: &Config) -> anyhow::Result<Catalog> {
    let catalog = if let Some(url) = &config.database {
        Catalog::open_postgres(url.expose()).await
    } else {
        config
            .make_data_dir()
            .context("cannot make the data directory")?;
        Catalog::open_sqlite(&config.catalog()).await
    };
    catalog.context("cannot open the catalog")
}

/// Opens the log of documents, and makes it if it is not there.
///
/// # Errors
///
/// `InUse`: a server has the file. `NewerFormat`, `Unavailable`.
pub(crate) async fn open_log(config: &Config) -> Result<AnyLog, LogError> {
    match &config.database {
        Some(url) => {
            let mut settings = PostgresSettings::default();
            settings.outbox = OutboxSettings {
                changes: config.tells(EventKind::DocumentEdit),
                checkpoints: config.tells(EventKind::DocumentVersion),
            };
            let log = PostgresLog::open(url.expose(), settings).await?;
            Ok(log.into())
        }
        None => Ok(SqliteLog::open(&config.document_log())?.into()),
    }
}

/// The same, only to read, also while a server uses it.
///
/// # Errors
///
/// As [`open_log`].
pub(crate) async fn open_log_to_read(config: &Config) -> Result<AnyLog, LogError> {
    match open_log(config).await {
        Err(LogError::InUse { .. }) => Ok(SqliteLog::open_to_read(&config.document_log()).into()),
        log => log,
    }
}

/// An installation that is open only to read, and is not changed.
pub(crate) struct Source {
    pub(crate) catalog: Catalog,
    pub(crate) log: AnyLog,
}

/// Opens everything only to read, and keeps servers out of a data directory meanwhile.
///
/// # Errors
///
/// What to tell the operator.
pub(crate) async fn open_source(config: &Config) -> anyhow::Result<Source> {
    let log = match &config.database {
        Some(url) => PostgresLog::open_to_read(url.expose(), PostgresSettings::default())
            .await
            .map(AnyLog::from),
        None => SqliteLog::open_alone_to_read(&config.document_log()).map(AnyLog::from),
    };
    let catalog = match &config.database {
        Some(url) => Catalog::open_to_read(url.expose()).await,
        None => Catalog::open_to_read(&config.catalog().display().to_string()).await,
    };
    Ok(Source {
        log: log.context("cannot open the log of documents")?,
        catalog: catalog.context("cannot open the catalog")?,
    })
}

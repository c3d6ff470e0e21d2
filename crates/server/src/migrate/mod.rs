//! A whole installation from one place to another: from a data directory to PostgreSQL, back, or
//! between two of a kind.
//!
//! # Invariants
//!
//! - **untouched**: the source is open only to read.
//! - **resumable**: the log goes first, the catalog last and in one transaction. So a target that
//!   has accounts has everything, and one without is gone on with, where its log is the beginning
//!   of the source's.
//! - **the same**: before the catalog is stored, all changes and rows were read back and compared.

mod logs;
mod progress;

use std::{path::Path, time::Duration};

use anyhow::Context;
use motet_catalog::{Catalog, CopiedTable, Verification};
use motet_log::LogError;
use tokio::time::{Instant, sleep};

use self::logs::Logs;
pub(crate) use self::{
    logs::Counts,
    progress::{Progress, mebibytes},
};
use crate::{
    config::{Config, Location},
    stores::{self, Source},
};

/// How long connections may take to go away after the server that had them.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);
const GOODBYE_INTERVAL: Duration = Duration::from_millis(100);

/// What was moved.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) logs: Counts,
    pub(crate) tables: Vec<CopiedTable>,
    /// Of the target; it is that of the source.
    pub(crate) audit: Verification,
}

/// Copies everything `from` there `to` here, and compares. `force`: also where others are
/// connected.
pub(crate) async fn migrate(
    from: &Location,
    to: &Location,
    force: bool,
    progress: &Progress,
) -> anyhow::Result<Moved> {
    let (from_config, to_config) = (config(from)?, config(to)?);
    let alone = async || -> anyhow::Result<()> {
        if !force {
            nobody_at(from).await?;
            nobody_at(to).await?;
        }
        Ok(())
    };
    alone().await?;
    let source = open_source(from, &from_config).await?;
    // Before anything is made there.
    if let Some(what) = used_at(&to_config).await? {
        anyhow::bail!("{to} has {what} already: a target must be fresh");
    }
    let target = stores::open_catalog(&to_config).await?;
    let log = stores::open_log(&to_config).await.map_err(in_use);
    let log = log.context("cannot open the target's log of documents")?;
    source.catalog.check_copy_to(&target).await?;

    let logs = Logs::new(source.log, log, progress);
    let counts = logs.copy().await?;
    let counts = logs.compare(counts).await?;

    // Whoever has come meanwhile may have changed either.
    alone().await?;
    progress.begin_rows();
    let tables = source.catalog.copy_to(&target, &progress.rows).await?;
    progress.begin_audit();
    let audit = target.verify_audit().await?;
    anyhow::ensure!(
        source.catalog.verify_audit().await? == audit,
        "the audit trail is not the same on both sides"
    );
    source.catalog.close().await;
    target.close().await;
    Ok(Moved {
        logs: counts,
        tables,
        audit,
    })
}

/// The settings of a place, whose connections bear the name of those who copy.
fn config(location: &Location) -> anyhow::Result<Config> {
    let named = match location {
        Location::Directory(_) => location.clone(),
        Location::Database(url) => {
            let url = Catalog::location_to_copy(url.expose());
            Location::parse(&url).map_err(anyhow::Error::msg)?
        }
    };
    Ok(named.config())
}

async fn open_source(from: &Location, config: &Config) -> anyhow::Result<Source> {
    if let Location::Directory(directory) = from {
        anyhow::ensure!(
            config.catalog().is_file() && config.document_log().is_file(),
            "{} is not the data directory of a server: catalog.db or log.db is missing",
            directory.display()
        );
    }
    let source = match stores::open_source(config).await {
        Ok(source) => source,
        Err(error) => {
            return Err(error).with_context(|| {
                format!(
                    "{from} cannot be read; if it is of an earlier program, start a server of this \
                     one there once"
                )
            });
        }
    };
    let used = used_at(config).await?;
    anyhow::ensure!(used.is_some(), "{from} has neither accounts nor documents");
    if source.catalog.signing_keys().await?.is_empty() && has_key_files(&config.keys()) {
        anyhow::bail!(
            "the keys that sign tokens are in {} still: start a server of this program there once",
            config.keys().display()
        );
    }
    Ok(source)
}

/// Of a directory from before keys were in the catalog.
fn has_key_files(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())
}

async fn used_at(config: &Config) -> anyhow::Result<Option<&'static str>> {
    let used = match &config.database {
        Some(url) => Catalog::used_at(url.expose()).await,
        None => Catalog::used_at(&config.catalog().display().to_string()).await,
    };
    used.context("cannot open the catalog")
}

/// Whether no server or command is connected; those of one that has just stopped may take a moment
/// to go.
async fn nobody_at(location: &Location) -> anyhow::Result<()> {
    let Location::Database(url) = location else {
        return Ok(());
    };
    let deadline = Instant::now() + GOODBYE_TIMEOUT;
    loop {
        let others = Catalog::others_at(url.expose()).await;
        let others = others.with_context(|| format!("cannot connect to {location}"))?;
        if others.is_empty() {
            return Ok(());
        }
        let names = others
            .iter()
            .map(|(name, count)| format!("{name}: {count}"));
        let names = names.collect::<Vec<_>>().join(", ");
        anyhow::ensure!(
            Instant::now() < deadline,
            "{location} is in use ({names} connections): stop all servers and commands there, or \
             add --force if they change nothing"
        );
        sleep(GOODBYE_INTERVAL).await;
    }
}

fn in_use(error: LogError) -> anyhow::Error {
    match error {
        LogError::InUse { path } => anyhow::anyhow!("{path} is in use: stop the server there"),
        error => error.into(),
    }
}

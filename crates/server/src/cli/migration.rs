//! `motet migrate`: from one place to another.

use anyhow::Context;
use clap::Args;
use motet_catalog::Verification;

use super::print;
use crate::{
    config::Location,
    migrate::{self, Progress, mebibytes},
};

#[derive(Args, Debug)]
pub(super) struct MigrateArgs {
    /// Where everything is, and stays as it is: a data directory, or postgres://USER@HOST/NAME
    #[arg(
        long,
        value_name = "LOCATION",
        env = "MOTET_MIGRATE_FROM",
        hide_env_values = true
    )]
    from: String,
    /// Where it is to be: the same, and fresh, or with what an interrupted migration has left
    #[arg(
        long,
        value_name = "LOCATION",
        env = "MOTET_MIGRATE_TO",
        hide_env_values = true
    )]
    to: String,
    /// Also where somebody is connected to either database, who must not change anything
    #[arg(long)]
    force: bool,
}

pub(super) async fn migrate(args: MigrateArgs) -> anyhow::Result<()> {
    let location = |text: &str, flag: &'static str| {
        Location::parse(text)
            .map_err(anyhow::Error::msg)
            .context(flag)
    };
    let (from, to) = (location(&args.from, "--from")?, location(&args.to, "--to")?);
    let progress = Progress::default();
    let work = migrate::migrate(&from, &to, args.force, &progress);
    let moved = progress.watch(work).await?;
    let logs = moved.logs;
    print(&format!(
        "documents\t{} (and {} deleted), {} changes, {}",
        logs.documents,
        logs.deleted,
        logs.changes,
        mebibytes(logs.bytes)
    ));
    let rows: u64 = moved.tables.iter().map(|table| table.rows).sum();
    print(&format!(
        "catalog\t{} tables, {rows} rows",
        moved.tables.len()
    ));
    match moved.audit {
        Verification::Intact { rows, hash } => {
            print(&format!("audit trail\t{rows} rows, intact\t{hash}@{rows}"));
        }
        // It is what the source has.
        Verification::Broken { seq, why } => {
            print(&format!(
                "audit trail\tbroken at row {seq} as in the source: {why}"
            ));
        }
    }
    print(&format!("{to} has the same as {from}"));
    Ok(())
}

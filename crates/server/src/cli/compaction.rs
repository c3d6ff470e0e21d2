//! `motet compact`: what a server does behind the scenes, all at once.

use anyhow::Context;
use clap::Args;
use motet_log::{Compact, Compacted, LogError};
use motet_model::DocumentId;

use super::print;
use crate::{
    config::{Config, Flags},
    migrate::mebibytes,
    stores,
};

/// Documents that are looked for at a time.
const PAGE: u32 = 500;

#[derive(Args, Debug)]
pub(super) struct CompactArgs {
    /// Also give the room back that the files have for it: they are written anew, which takes as much room again
    #[arg(long)]
    vacuum: bool,
    #[command(flatten)]
    flags: Flags,
}

pub(super) async fn compact(args: CompactArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.flags)?;
    let log = match stores::open_log(&config).await {
        Err(LogError::InUse { path }) => {
            anyhow::bail!("{path} is in use: a server that runs compacts its log by itself")
        }
        log => log.context("cannot open the log of documents")?,
    };
    let (mut after, mut documents, mut saved) = (None, 0_u64, Compacted::default());
    let mut left = Vec::new();
    loop {
        let page = log.loose(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        for id in page {
            match compact_one(&log, id, &mut saved).await {
                Ok(()) => documents += 1,
                // It stays as it is, and keeps nobody from the others.
                Err(error @ (LogError::Corrupt { .. } | LogError::NewerFormat { .. })) => {
                    left.push(format!("document {id}: {error}"));
                }
                Err(error) => return Err(error).with_context(|| format!("document {id}")),
            }
        }
    }
    if args.vacuum {
        log.scrub().await.context("cannot write the files anew")?;
    }
    print(&format!(
        "{documents} documents, {} rows and {} less",
        saved.rows,
        mebibytes(saved.bytes)
    ));
    if !left.is_empty() {
        anyhow::bail!("{} were left as they are\n{}", left.len(), left.join("\n"));
    }
    Ok(())
}

/// Takes all steps of a document, and adds what they save.
async fn compact_one(
    log: &impl Compact,
    id: DocumentId,
    saved: &mut Compacted,
) -> Result<(), LogError> {
    loop {
        let mut step = log.compact(id).await;
        if matches!(step, Err(LogError::Unknown { .. })) {
            // It may have been done, and then this is the next one.
            step = log.compact(id).await;
        }
        let step = match step {
            Err(LogError::Deleted { .. }) => Compacted::default(),
            step => step?,
        };
        saved.rows += step.rows;
        saved.bytes += step.bytes;
        if !step.more {
            return Ok(());
        }
    }
}

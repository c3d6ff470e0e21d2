//! `motet compact`: what a server does behind the scenes, all at once.

use anyhow::Context;
use clap::Args;
use motet_log::{Compact, Compacted, LogError};

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
    loop {
        let page = log.loose(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        for id in page {
            documents += 1;
            let mut more = true;
            while more {
                let step = match log.compact(id).await {
                    Err(LogError::Deleted { .. }) => Compacted::default(),
                    step => step.with_context(|| format!("document {id}"))?,
                };
                saved.rows += step.rows;
                saved.bytes += step.bytes;
                more = step.more;
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
    Ok(())
}

//! Putting small appends of documents together behind the scenes, so that their logs take less room.
//!
//! Of the nodes that work one does it at a time. It rests after each step, so that whoever writes and reads waits
//! for it a tenth of the time at most; where more is written for long than it can keep up with, it does so later.

use std::{
    sync::{Weak, atomic::Ordering},
    time::Duration,
};

use motet_log::{Compact, Compacted, LogError};
use motet_model::DocumentId;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    http::App,
    jobs::{Claim, Job},
};

/// How often it is looked for documents.
const INTERVAL: Duration = Duration::from_secs(60);

/// After a step it rests as many times as long as that took.
const REST: u32 = 9;

/// Documents that are looked for at a time.
const PAGE: u32 = 500;

/// Goes on until the server is gone.
pub(crate) async fn run(app: Weak<App>) {
    let mut times = interval(INTERVAL);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        let Some(jobs) = app.upgrade().map(|app| app.jobs.clone()) else {
            return;
        };
        let claim = match jobs.claim(Job::Compaction).await {
            Ok(Some(claim)) => claim,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(%error, "logs were not compacted");
                continue;
            }
        };
        match round(&app, &claim).await {
            Ok(Compacted { rows: 0, .. }) => {}
            Ok(Compacted { rows, bytes, .. }) => {
                tracing::debug!(rows, bytes, "logs take less room now");
            }
            // The next round does what this one did not.
            Err(error) => tracing::warn!(%error, "logs were not compacted"),
        }
        claim.give_back().await;
    }
}

/// Goes through all documents that are worth it, and says what that saved.
async fn round(app: &Weak<App>, claim: &Claim) -> Result<Compacted, LogError> {
    let (mut after, mut saved) = (None, Compacted::default());
    loop {
        let page = match app.upgrade() {
            Some(app) => app.collab.log().loose(after, PAGE).await?,
            None => return Ok(saved),
        };
        let Some(last) = page.last() else {
            return Ok(saved);
        };
        after = Some(*last);
        for id in page {
            let mut more = true;
            while more {
                // Nothing of it keeps the server from ending.
                let going = app.upgrade();
                let going = going.filter(|app| !app.draining.load(Ordering::Acquire));
                let Some(app) = going.filter(|_| !claim.is_lost()) else {
                    return Ok(saved);
                };
                let began = Instant::now();
                let step = step(&app, id).await?;
                drop(app);
                saved.rows += step.rows;
                saved.bytes += step.bytes;
                more = step.more;
                sleep(began.elapsed() * REST).await;
            }
        }
    }
}

/// A document that is damaged, or gone, keeps nobody from the others.
async fn step(app: &App, id: DocumentId) -> Result<Compacted, LogError> {
    match app.collab.log().compact(id).await {
        Err(LogError::Deleted { .. }) => Ok(Compacted::default()),
        Err(error @ (LogError::Corrupt { .. } | LogError::NewerFormat { .. })) => {
            tracing::warn!(document = %id, %error, "a log was not compacted");
            Ok(Compacted::default())
        }
        step => step,
    }
}

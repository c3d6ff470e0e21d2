//! Putting small appends of documents together behind the scenes, so that their logs take less room.
//!
//! Of the nodes that work one does it at a time. It rests after each step, so that whoever writes and reads waits
//! for it a tenth of the time at most; where more is written for long than it can keep up with, it does so later.

use std::{
    collections::HashSet,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use motet_log::{Compact, Compacted, LogError};
use motet_model::DocumentId;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{http::App, jobs::Job};

/// How often it is looked for documents.
const INTERVAL: Duration = Duration::from_secs(60);

/// After a step it rests as many times as long as that took.
const REST: u32 = 9;

/// Documents that are looked for at a time.
const PAGE: u32 = 500;

/// Most steps of a document in a round: one that is written as fast as it is compacted keeps nobody from the others.
const STEPS_MAX: u32 = 256;

/// Goes on until the server is gone.
pub(crate) async fn run(app: Weak<App>) {
    let mut rounds = Rounds::default();
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
        // Nothing of it keeps the server from ending.
        let log = || {
            let app = app.upgrade()?;
            let goes_on = !app.draining.load(Ordering::Acquire) && !claim.is_lost();
            goes_on.then(|| Arc::clone(app.collab.log()))
        };
        match rounds.next(log).await {
            Ok(Compacted { rows: 0, .. }) => {}
            Ok(Compacted { rows, bytes, .. }) => {
                tracing::debug!(rows, bytes, "logs take less room now");
            }
            // The next round goes on behind it.
            Err(error) => tracing::warn!(%error, "logs were not compacted"),
        }
        claim.give_back().await;
    }
}

/// What is known from one round to the next.
#[derive(Default)]
struct Rounds {
    /// The document that was looked at last; `None`: all were.
    after: Option<DocumentId>,
    /// Documents that cannot be compacted, of which it has been told.
    told: HashSet<DocumentId>,
}

impl Rounds {
    /// Goes on through the documents that are worth it, to the last, and says what that saved; as long as there is
    /// a log.
    ///
    /// # Errors
    ///
    /// As those of `Compact`, but for what is wrong with a document for good. The next round begins behind the
    /// document where this one ended, so that one that always fails keeps nobody from the others.
    async fn next<L: Compact>(
        &mut self,
        log: impl Fn() -> Option<L>,
    ) -> Result<Compacted, LogError> {
        let mut saved = Compacted::default();
        loop {
            let page = match log() {
                Some(log) => log.loose(self.after, PAGE).await?,
                None => return Ok(saved),
            };
            if page.is_empty() {
                self.after = None;
                return Ok(saved);
            }
            for id in page {
                self.after = Some(id);
                for _ in 0..STEPS_MAX {
                    let Some(log) = log() else {
                        return Ok(saved);
                    };
                    let began = Instant::now();
                    let step = self.step(log, id).await?;
                    saved.rows += step.rows;
                    saved.bytes += step.bytes;
                    sleep(began.elapsed() * REST).await;
                    if !step.more {
                        break;
                    }
                }
            }
        }
    }

    /// A document that is damaged, or gone, keeps nobody from the others.
    async fn step(&mut self, log: impl Compact, id: DocumentId) -> Result<Compacted, LogError> {
        match log.compact(id).await {
            Err(LogError::Deleted { .. }) => Ok(Compacted::default()),
            Err(error @ (LogError::Corrupt { .. } | LogError::NewerFormat { .. })) => {
                if self.told.insert(id) {
                    tracing::warn!(document = %id, %error, "a log was not compacted");
                }
                Ok(Compacted::default())
            }
            step => step,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use motet_log::DocumentLog;
    use motet_model::{Change, Checkpoint, Revision};

    use super::*;

    const AWAY: u8 = 1;
    const ENDLESS: u8 = 2;
    const DAMAGED: u8 = 3;
    const SMALL: u8 = 4;

    /// A log with four documents that are always worth a step, and the steps that it was asked for.
    #[derive(Default)]
    struct Steps(Mutex<Vec<u8>>);

    impl Compact for Steps {
        async fn loose(
            &self,
            after: Option<DocumentId>,
            _: u32,
        ) -> Result<Vec<DocumentId>, LogError> {
            let ids = (AWAY..=SMALL).map(|n| DocumentId::from_bytes([n; 16]));
            Ok(ids.filter(|id| after.is_none_or(|it| *id > it)).collect())
        }

        async fn compact(&self, id: DocumentId) -> Result<Compacted, LogError> {
            let n = id.to_bytes()[0];
            self.0.lock().unwrap().push(n);
            match n {
                AWAY => Err(LogError::Unavailable {
                    detail: "it is always that one".to_owned(),
                }),
                DAMAGED => Err(LogError::Corrupt {
                    id,
                    revision: Revision::new(1),
                    detail: String::new(),
                }),
                _ => Ok(Compacted {
                    rows: 1,
                    bytes: 1,
                    more: n == ENDLESS,
                }),
            }
        }
    }

    impl DocumentLog for Steps {
        async fn append(
            &self,
            _: DocumentId,
            _: Revision,
            _: Vec<Change>,
        ) -> Result<Revision, LogError> {
            unreachable!("it is only compacted")
        }

        async fn head(&self, _: DocumentId) -> Result<Revision, LogError> {
            unreachable!("it is only compacted")
        }

        async fn heads(&self, _: &[DocumentId]) -> Result<Vec<(DocumentId, Revision)>, LogError> {
            unreachable!("it is only compacted")
        }

        async fn read(
            &self,
            _: DocumentId,
            _: Revision,
            _: usize,
        ) -> Result<Vec<Change>, LogError> {
            unreachable!("it is only compacted")
        }

        async fn checkpoint(
            &self,
            _: DocumentId,
            _: Revision,
        ) -> Result<Option<Checkpoint>, LogError> {
            unreachable!("it is only compacted")
        }

        async fn put_checkpoint(&self, _: DocumentId, _: Checkpoint) -> Result<(), LogError> {
            unreachable!("it is only compacted")
        }

        async fn delete(&self, _: DocumentId) -> Result<(), LogError> {
            unreachable!("it is only compacted")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_document_keeps_the_others_from_being_compacted() {
        let log = Arc::new(Steps::default());
        let mut rounds = Rounds::default();
        for _ in 0..3 {
            let failed = rounds.next(|| Some(Arc::clone(&log))).await;
            assert!(matches!(failed, Err(LogError::Unavailable { .. })));
            assert_eq!(std::mem::take(&mut *log.0.lock().unwrap()), [AWAY]);
            // What comes next is behind it.
            let saved = rounds.next(|| Some(Arc::clone(&log))).await.unwrap();
            assert_eq!(saved.rows, u64::from(STEPS_MAX) + 1);
            let mut steps = std::mem::take(&mut *log.0.lock().unwrap());
            steps.dedup();
            assert_eq!(steps, [ENDLESS, DAMAGED, SMALL]);
            assert_eq!(rounds.told.len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_to_end_takes_no_further_step() {
        let log = Arc::new(Steps::default());
        let mut rounds = Rounds {
            after: Some(DocumentId::from_bytes([AWAY; 16])),
            ..Rounds::default()
        };
        let goes_on = || log.0.lock().unwrap().len() < 3;
        let saved = rounds.next(|| goes_on().then(|| Arc::clone(&log))).await;
        assert_eq!(saved.unwrap().rows, 3);
        assert_eq!(*log.0.lock().unwrap(), [ENDLESS; 3]);
    }
}

//! What happened, told to other programs by the streams of the bus (`docs/events.md`).
//!
//! Workers read what is to be told where it was stored with what it tells of: edits and checkpoints in the log's
//! outbox (`outbox.rs`), the rest in the audit trail (`trail.rs`). Only when the stream has it, it is removed, or
//! the cursor moved. `payload.rs` is what events say.
//!
//! # Invariants
//!
//! - **at least once**: what was stored is told, whatever dies or is away meanwhile, with the same id again if it
//!   is told again.
//! - **in turn**: of one document, and of the trail, nothing is told for the first time before what came earlier;
//!   also when two nodes tell the same. The claims only save them the work.
//! - **bounded**: at most [`TURNS`] hold events in memory, each about [`BYTES_MAX`] of them. What waits, waits in
//!   the database.

mod outbox;
mod payload;
mod trail;

use std::{sync::Arc, time::Duration};

use motet_bus::{AnyEvents, BusError, Event, EventKind, Events};
use motet_catalog::{Catalog, CatalogError};
use motet_log::{AnyLog, LogError, OUTBOX_SHARDS, Outbox};
use tokio::{
    sync::{Notify, Semaphore},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    entropy,
    jobs::{Claim, Job, Jobs},
};

/// How often to look for what other nodes have left, and what was woken for in vain.
const POLL: Duration = Duration::from_secs(1);

/// How long a claim is kept when there is nothing to tell.
const IDLE: Duration = Duration::from_secs(30);

/// How long to leave a part alone that another node tells.
const ELSEWHERE: Duration = Duration::from_secs(3);

/// The longest pause after the first failure, and after many.
const PAUSE_MIN_MS: u64 = 250;
const PAUSE_MAX_MS: u64 = 15_000;

/// Parts that are told at the same time.
const TURNS: usize = 4;

/// Rows that are read at a time.
const ROWS_MAX: u32 = 256;

/// Events that are sent at a time, and about how many bytes of them.
const EVENTS_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;

/// How long what is under way may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why nothing could be told. What was not told is told later.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Where something to tell is found.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// A shard of the log's outbox.
    Outbox(u8),
    /// The audit trail, told as events of a kind.
    Trail(EventKind),
}

impl Part {
    const fn job(self) -> Job {
        match self {
            Self::Outbox(shard) => Job::Outbox(shard),
            Self::Trail(kind) => Job::Trail(kind),
        }
    }
}

/// Tells what there is to tell until it is stopped.
pub(crate) struct Relay {
    over: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    events: AnyEvents,
    kinds: Vec<EventKind>,
    log: Arc<AnyLog>,
    catalog: Catalog,
    jobs: Jobs,
    turns: Semaphore,
    over: CancellationToken,
}

/// Sees to it that the trail is told from here on: before anything happens that is to be told.
///
/// # Errors
///
/// `Unavailable`.
pub(crate) async fn prepare(catalog: &Catalog, kinds: &[EventKind]) -> Result<(), CatalogError> {
    for kind in kinds.iter().copied().filter(|kind| trail::tells(*kind)) {
        trail::begin(catalog, kind).await?;
    }
    Ok(())
}

impl Relay {
    pub(crate) fn start(
        events: AnyEvents,
        kinds: Vec<EventKind>,
        log: Arc<AnyLog>,
        catalog: Catalog,
        jobs: Jobs,
    ) -> Self {
        let over = CancellationToken::new();
        let shared = Arc::new(Shared {
            events,
            kinds,
            log,
            catalog,
            jobs,
            turns: Semaphore::new(TURNS),
            over: over.clone(),
        });
        let tasks = TaskTracker::new();
        let trails = shared.kinds.iter().filter(|kind| trail::tells(**kind));
        // Of edits that are not to be told any more, what was left is removed.
        let parts = (0..OUTBOX_SHARDS).map(Part::Outbox);
        let parts: Vec<_> = parts.chain(trails.map(|kind| Part::Trail(*kind))).collect();
        let mut woken = Vec::new();
        for part in parts {
            let wake = Arc::new(Notify::new());
            woken.push((part, Arc::clone(&wake)));
            tasks.spawn(Arc::clone(&shared).run(part, wake));
        }
        tasks.spawn(async move { shared.poll(&woken).await });
        tasks.close();
        Self { over, tasks }
    }

    /// Lets what is under way end, and others go on.
    pub(crate) async fn stop(self) {
        self.over.cancel();
        if timeout(STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("events were being told; the next worker tells them again");
        }
    }
}

impl Shared {
    /// Wakes those for whom there is something.
    async fn poll(&self, parts: &[(Part, Arc<Notify>)]) {
        let mut times = interval(POLL);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.over.run_until_cancelled(times.tick()).await.is_some() {
            match self.look(parts).await {
                Ok(()) => {}
                // A database that is away is missed by everything else as well.
                Err(error) => tracing::debug!(%error, "it is not known whether there are events"),
            }
        }
    }

    async fn look(&self, parts: &[(Part, Arc<Notify>)]) -> Result<(), TellError> {
        let shards = self.log.waiting().await?;
        let seq = self.catalog.audit_seq().await?;
        for (part, wake) in parts {
            let is_waited_for = match part {
                Part::Outbox(shard) => shards.contains(shard),
                Part::Trail(kind) => trail::begin(&self.catalog, *kind).await? < seq,
            };
            if is_waited_for {
                wake.notify_one();
            }
        }
        Ok(())
    }

    async fn run(self: Arc<Self>, part: Part, wake: Arc<Notify>) {
        let mut failures = 0;
        while self.woken(part, &wake).await {
            let told = match self.jobs.claim(part.job()).await {
                Ok(Some(claim)) => {
                    let told = self.hold(part, &claim, &wake, &mut failures).await;
                    claim.give_back().await;
                    told
                }
                Ok(None) => {
                    self.rest(ELSEWHERE).await;
                    continue;
                }
                Err(error) => Err(error.into()),
            };
            if let Err(error) = told {
                failures += 1;
                if failures == 1 {
                    tracing::warn!(?part, %error, "events cannot be told; they wait");
                }
                self.rest(pause(failures)).await;
                wake.notify_one();
            }
        }
    }

    /// Tells as long as the claim is this node's and there is something, and a while longer.
    async fn hold(
        &self,
        part: Part,
        claim: &Claim,
        wake: &Notify,
        failures: &mut u32,
    ) -> Result<(), TellError> {
        loop {
            let more = self.tell(part).await?;
            *failures = 0;
            if claim.is_lost() || self.over.is_cancelled() {
                return Ok(());
            }
            if more {
                continue;
            }
            match timeout(IDLE, self.woken(part, wake)).await {
                Ok(true) if !claim.is_lost() => {}
                _ => return Ok(()),
            }
        }
    }

    /// Tells the next of a part; whether there is more.
    async fn tell(&self, part: Part) -> Result<bool, TellError> {
        // Nobody closes it.
        let _turn = self.turns.acquire().await;
        match part {
            Part::Outbox(shard) => self.tell_outbox(shard).await,
            Part::Trail(kind) => self.tell_trail(kind).await,
        }
    }

    /// Sends events, if there are any.
    async fn send(&self, events: &[Event]) -> Result<(), TellError> {
        if events.is_empty() {
            return Ok(());
        }
        Ok(self.events.send(events).await?)
    }

    /// Waits until there may be something; `false` if it is over.
    async fn woken(&self, part: Part, wake: &Notify) -> bool {
        let left = async {
            match part {
                Part::Outbox(shard) => self.log.left(shard).await,
                Part::Trail(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.over.cancelled() => false,
            () = left => true,
            () = wake.notified() => true,
        }
    }

    async fn rest(&self, time: Duration) {
        self.over.run_until_cancelled(sleep(time)).await;
    }
}

/// Longer each time, and another one for everybody.
fn pause(failures: u32) -> Duration {
    let most_ms = (PAUSE_MIN_MS << failures.min(16)).min(PAUSE_MAX_MS);
    let random = u64::from_be_bytes(entropy::bytes());
    Duration::from_millis(most_ms / 2 + random % (most_ms / 2 + 1))
}

//! Jobs behind the scenes, of which each is done by one node at a time.
//!
//! A node that dies leaves its claim behind for at most [`Job::claim_ms`]. One that is stopped for longer may
//! go on beside another when it wakes up; what is done under a claim is harmless then, and only done twice.

use std::{borrow::Cow, sync::Arc, time::Duration};

use motet_bus::EventKind;
use motet_catalog::{Catalog, CatalogError};
use motet_model::{Clock, DocumentId, NodeId};
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::entropy;

/// How long a claim lasts that is not renewed.
const CLAIM_MS: u64 = 60_000;

/// The same of those for which somebody waits.
const URGENT_CLAIM_MS: u64 = 9_000;

/// How often a claim is renewed while it would last.
const RENEWALS: u64 = 3;

/// How long one who waits for a job pauses between two attempts, at first and in the end.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// A job of which there is one for all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Erasing people.
    Erasures,
    /// Forgetting what is of no use any more.
    Housekeeping,
    /// Telling search what it missed.
    Indexing,
    /// Putting small appends together.
    Compaction,
    /// Changing what the catalog says of a document.
    Change(DocumentId),
    /// Telling outside what a part of the outbox has.
    Outbox(u8),
    /// Telling outside what the audit trail has, as events of this kind.
    Trail(EventKind),
}

impl Job {
    fn name(self) -> Cow<'static, str> {
        match self {
            Self::Erasures => "erasures".into(),
            Self::Housekeeping => "housekeeping".into(),
            Self::Indexing => "indexing".into(),
            Self::Compaction => "compaction".into(),
            Self::Change(id) => format!("change/{id}").into(),
            Self::Outbox(shard) => format!("outbox/{shard}").into(),
            Self::Trail(kind) => format!("trail/{}", kind.as_str()).into(),
        }
    }

    /// How long a node that dies keeps others from the job.
    const fn claim_ms(self) -> u64 {
        match self {
            Self::Outbox(_) | Self::Trail(_) | Self::Change(_) => URGENT_CLAIM_MS,
            _ => CLAIM_MS,
        }
    }
}

/// The jobs as one node sees them.
#[derive(Clone)]
pub(crate) struct Jobs {
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    node: NodeId,
}

/// A job that is this node's until this is dropped.
pub(crate) struct Claim {
    /// Its end ends the claim.
    over: DropGuard,
    lost: CancellationToken,
    renewing: JoinHandle<()>,
}

impl Claim {
    /// Whether another node has the job by now, because this one was stopped for too long.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Ends it, and returns when others can have the job.
    pub(crate) async fn give_back(self) {
        drop(self.over);
        // A panic has been reported by the task itself.
        let _panicked = self.renewing.await;
    }
}

impl Jobs {
    pub(crate) fn new(catalog: Catalog, clock: Arc<dyn Clock>, node: NodeId) -> Self {
        Self {
            catalog,
            clock,
            node,
        }
    }

    /// Claims a job, unless another node has it.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub(crate) async fn claim(&self, job: Job) -> Result<Option<Claim>, CatalogError> {
        let over = CancellationToken::new();
        let lost = CancellationToken::new();
        // Whatever becomes of who asks, its end is heard there.
        let guard = over.clone().drop_guard();
        let (tell, claimed) = oneshot::channel();
        let renewing = tokio::spawn(self.clone().hold(job, over, lost.clone(), tell));
        let is_claimed = match claimed.await {
            Ok(claimed) => claimed?,
            // A panic has been reported by the task itself.
            Err(_) => false,
        };
        Ok(is_claimed.then_some(Claim {
            over: guard,
            lost,
            renewing,
        }))
    }

    /// Claims a job, tells whether it did, and keeps it until it is over.
    async fn hold(
        self,
        job: Job,
        over: CancellationToken,
        lost: CancellationToken,
        tell: oneshot::Sender<Result<bool, CatalogError>>,
    ) {
        // Another one for each claim: giving one back must not end the next one of the same node.
        let holder = NodeId::new(self.clock.now_ms(), entropy::bytes());
        let claim_ms = job.claim_ms();
        let claimed = self.claim_as(holder, job, claim_ms).await;
        let is_others = matches!(claimed, Ok(false));
        // Who asked may have gone: then it is over.
        let _gone = tell.send(claimed);
        if is_others {
            return;
        }
        let renewal = Duration::from_millis(claim_ms / RENEWALS);
        while over.run_until_cancelled(sleep(renewal)).await.is_some() {
            match self.claim_as(holder, job, claim_ms).await {
                Ok(true) => {}
                Ok(false) => {
                    lost.cancel();
                    tracing::warn!(?job, "another node has taken the job over");
                }
                Err(error) => tracing::warn!(?job, %error, "a claim was not renewed"),
            }
        }
        if let Err(error) = self.catalog.release(&job.name(), holder).await {
            tracing::debug!(?job, %error, "a claim was not given back; it ends by itself");
        }
    }

    /// Claims a job as soon as no other node has it.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub(crate) async fn wait_for(&self, job: Job) -> Result<Claim, CatalogError> {
        let mut pause = PAUSE_MIN;
        loop {
            if let Some(claim) = self.claim(job).await? {
                return Ok(claim);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Claims a job that is to be done once in a while; nobody else has it for as long.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub(crate) async fn once_in(&self, job: Job, time: Duration) -> Result<bool, CatalogError> {
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.claim_as(self.node, job, time_ms).await
    }

    async fn claim_as(&self, holder: NodeId, job: Job, time_ms: u64) -> Result<bool, CatalogError> {
        self.catalog.claim(&job.name(), holder, time_ms).await
    }
}

#[cfg(test)]
mod tests {
    use motet_testing::{Proxy, Schema, Weather};
    use tokio::time::timeout;

    use super::*;
    use crate::clock::SystemClock;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Waits until so many claims are stored.
    async fn until_claims(schema: &Schema, count: usize) {
        let mut connection = schema.connect().await;
        let claimed = async {
            loop {
                let claims = sqlx::query("SELECT job FROM claims");
                if claims.fetch_all(&mut connection).await.unwrap().len() == count {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, claimed).await.unwrap();
    }

    #[tokio::test]
    async fn who_gives_up_leaves_no_claim_behind() {
        let schema = Schema::new().await;
        let proxy = Proxy::start(schema.host().to_owned()).await;
        let url = schema.url_through(&proxy.address.to_string());
        let catalog = Catalog::open_postgres(&url).await.unwrap();
        let node = NodeId::from_bytes([1; 16]);
        let jobs = Jobs::new(catalog, Arc::new(SystemClock), node);
        // The claim is stored some time before its answer arrives.
        proxy.set(Weather::Slow(Duration::from_millis(300)));
        let claiming = tokio::spawn(async move { jobs.claim(Job::Outbox(1)).await });
        until_claims(&schema, 1).await;
        claiming.abort();
        // Also what it has claimed, if it was quicker.
        drop(claiming);
        proxy.set(Weather::Clear);
        until_claims(&schema, 0).await;
    }

    /// A clock that goes wrong.
    #[derive(Debug)]
    struct Skewed(i64);

    impl Clock for Skewed {
        fn now_ms(&self) -> u64 {
            SystemClock.now_ms().saturating_add_signed(self.0)
        }
    }

    #[tokio::test]
    async fn clocks_of_nodes_do_not_count() {
        const HOUR_MS: i64 = 3_600_000;
        let schema = Schema::new().await;
        let catalog = Catalog::open_postgres(&schema.url()).await.unwrap();
        let [early, late] = [-HOUR_MS, HOUR_MS].map(|skew_ms| {
            let node = NodeId::from_bytes([1; 16]);
            Jobs::new(catalog.clone(), Arc::new(Skewed(skew_ms)), node)
        });
        let job = Job::Outbox(3);
        for (has, asks) in [(&early, &late), (&late, &early)] {
            let claim = has.claim(job).await.unwrap().unwrap();
            assert!(asks.claim(job).await.unwrap().is_none());
            claim.give_back().await;
        }
        // Of a node that has died, nobody waits for longer than its claim lasts.
        let late_claim = late.claim(job).await.unwrap().unwrap();
        schema
            .execute("UPDATE claims SET until_ms = until_ms - 9000")
            .await;
        assert!(early.claim(job).await.unwrap().is_some());
        drop(late_claim);
    }

    /// A node that was stopped for too long, while another took its job.
    #[tokio::test]
    async fn who_has_lost_a_job_learns_of_it() {
        let schema = Schema::new().await;
        let catalog = Catalog::open_postgres(&schema.url()).await.unwrap();
        let [here, there] = [1, 2].map(|n| {
            let node = NodeId::from_bytes([n; 16]);
            Jobs::new(catalog.clone(), Arc::new(SystemClock), node)
        });
        let job = Job::Outbox(3);
        let claim = here.claim(job).await.unwrap().unwrap();
        assert!(there.claim(job).await.unwrap().is_none());
        assert!(!claim.is_lost());
        claim.give_back().await;
        let claim = there.claim(job).await.unwrap().unwrap();

        schema.execute("UPDATE claims SET until_ms = 0").await;
        let name = job.name();
        let taken = catalog.claim(&name, here.node, URGENT_CLAIM_MS).await;
        assert!(taken.unwrap());
        timeout(PATIENCE, claim.lost.cancelled()).await.unwrap();
        assert!(claim.is_lost());
        // What it gives back is not its own any more.
        claim.give_back().await;
        assert!(there.claim(job).await.unwrap().is_none());
    }
}

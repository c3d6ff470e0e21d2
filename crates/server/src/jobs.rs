//! Jobs behind the scenes, of which each is done by one node at a time.
//!
//! A node that dies leaves its claim behind for at most [`CLAIM_MS`]. One that is stopped for longer may
//! go on beside another when it wakes up; what is done under a claim is harmless then, and only done twice.

use std::{borrow::Cow, sync::Arc, time::Duration};

use motet_catalog::{Catalog, CatalogError};
use motet_model::{Clock, DocumentId, NodeId};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::entropy;

/// How long a claim lasts that is not renewed.
const CLAIM_MS: u64 = 60_000;

/// How often a claim is renewed.
const RENEWAL: Duration = Duration::from_secs(20);

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
    /// Changing what the catalog says of a document.
    Change(DocumentId),
}

impl Job {
    fn name(self) -> Cow<'static, str> {
        match self {
            Self::Erasures => "erasures".into(),
            Self::Housekeeping => "housekeeping".into(),
            Self::Indexing => "indexing".into(),
            Self::Change(id) => format!("change {id}").into(),
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
pub(crate) struct Claim(#[expect(dead_code, reason = "its end ends the claim")] DropGuard);

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
        // Another one for each claim: giving one back must not end the next one of the same node.
        let holder = NodeId::new(self.clock.now_ms(), entropy::bytes());
        if !self.claim_as(holder, job, CLAIM_MS).await? {
            return Ok(None);
        }
        let over = CancellationToken::new();
        let claim = Claim(over.clone().drop_guard());
        let jobs = self.clone();
        tokio::spawn(async move {
            while over.run_until_cancelled(sleep(RENEWAL)).await.is_some() {
                match jobs.claim_as(holder, job, CLAIM_MS).await {
                    Ok(true) => {}
                    Ok(false) => tracing::warn!(?job, "another node has taken the job over"),
                    Err(error) => tracing::warn!(?job, %error, "a claim was not renewed"),
                }
            }
            if let Err(error) = jobs.catalog.release(&job.name(), holder).await {
                tracing::debug!(?job, %error, "a claim was not given back; it ends by itself");
            }
        });
        Ok(Some(claim))
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
        let now_ms = self.clock.now_ms();
        let until_ms = now_ms.saturating_add(time_ms);
        self.catalog
            .claim(&job.name(), holder, now_ms, until_ms)
            .await
    }
}

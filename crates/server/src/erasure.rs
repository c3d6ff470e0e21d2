//! Erasing a person, step by step: what has begun is gone on with, also after a crash.
//!
//! 1. It is recorded, and the account can do nothing any more (`Catalog::begin_erasure`).
//! 2. Its sessions end.
//! 3. Its documents are transferred or deleted, log first: what fails half-way is still listed.
//! 4. Everything else about it goes, in one transaction (`Catalog::finish_erasure`).
//! 5. What the files still hold of it is overwritten, and the record goes. Who writes waits meanwhile, so
//!    it is done for all at once that wait for it, and seldom.

use std::{sync::Arc, time::Duration};

use motet_catalog::{Actor, Catalog, CatalogError, Erasure};
use motet_log::{AnyLog, DocumentLog, LogError};
use motet_model::Clock;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::{
    audit::Auditor,
    auth::lockout,
    collab::{Affected, Collab},
    entropy,
    jobs::{Job, Jobs},
};

/// How often erasures are looked for that others have begun: the command line, or a server before.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long files are left alone after they were overwritten, unless the operator asks.
const SCRUB_INTERVAL: Duration = Duration::from_secs(600);
/// Documents that are read at a time.
const PAGE: u32 = 100;
/// How long the queue of the audit trail may take to empty.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an erasure is not complete. It is recorded, and tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErasureError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Goes through the steps, one erasure after the other.
pub(crate) struct Eraser {
    catalog: Catalog,
    log: Arc<AnyLog>,
    clock: Arc<dyn Clock>,
    jobs: Jobs,
    /// Where people are, in a server.
    live: Option<(Arc<Collab>, Auditor)>,
    turn: Mutex<Scrubs>,
}

/// When files were overwritten.
struct Scrubs {
    started: Instant,
    last: Option<Instant>,
}

impl Scrubs {
    fn are_due(&self, waiting: &[Erasure]) -> bool {
        let mut people = waiting.iter().filter(|erasure| !erasure.patient);
        let since = self.last.unwrap_or(self.started).elapsed();
        match self.last {
            _ if waiting.is_empty() => false,
            _ if since >= SCRUB_INTERVAL => true,
            None => people.next().is_some(),
            // The operator waits for it.
            Some(_) => people.any(|erasure| erasure.actor.is_none()),
        }
    }
}

impl Eraser {
    /// For the command line.
    pub(crate) fn new(
        catalog: Catalog,
        log: Arc<AnyLog>,
        clock: Arc<dyn Clock>,
        jobs: Jobs,
    ) -> Self {
        Self {
            catalog,
            log,
            clock,
            jobs,
            live: None,
            turn: Mutex::new(Scrubs {
                started: Instant::now(),
                last: None,
            }),
        }
    }

    /// For a server.
    pub(crate) fn with_sessions(
        catalog: Catalog,
        collab: Arc<Collab>,
        auditor: Auditor,
        clock: Arc<dyn Clock>,
        jobs: Jobs,
    ) -> Arc<Self> {
        let log = Arc::clone(collab.log());
        Arc::new(Self {
            live: Some((collab, auditor)),
            ..Self::new(catalog, log, clock, jobs)
        })
    }

    /// Goes on with whatever has begun, for as long as there is a server.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            if let Err(error) = self.run().await {
                tracing::error!(?error, "an erasure is not complete; it will be tried again");
            }
            sleep(INTERVAL).await;
        }
    }

    /// Goes through all erasures that have begun; files are overwritten if it is time.
    ///
    /// # Errors
    ///
    /// As [`ErasureError`] says; those before are complete.
    pub(crate) async fn run(&self) -> Result<(), ErasureError> {
        let erased = self.erase_all().await;
        self.scrub_if_due().await?;
        erased
    }

    /// Goes through all erasures that have begun, but for the files.
    ///
    /// # Errors
    ///
    /// As [`ErasureError`] says; others are done.
    pub(crate) async fn erase_all(&self) -> Result<(), ErasureError> {
        let _turn = self.turn.lock().await;
        let mut outcome = Ok(());
        if self.begun(false).await?.is_empty() {
            return outcome;
        }
        let _claim = self.jobs.wait_for(Job::Erasures).await?;
        for erasure in self.begun(false).await? {
            if let Err(error) = self.erase(&erasure).await {
                // Others need not wait for this one.
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Overwrites what files hold of those who are erased, if it is time.
    ///
    /// # Errors
    ///
    /// As [`ErasureError`] says; it stays due.
    pub(crate) async fn scrub_if_due(&self) -> Result<(), ErasureError> {
        let mut scrubs = self.turn.lock().await;
        let waiting = self.begun(true).await?;
        if !scrubs.are_due(&waiting) {
            return Ok(());
        }
        let _claim = self.jobs.wait_for(Job::Erasures).await?;
        self.log.scrub().await?;
        self.catalog.scrub().await?;
        scrubs.last = Some(Instant::now());
        for erasure in waiting {
            self.catalog.forget_erasure(erasure.user).await?;
            tracing::info!(user = %erasure.user, "erased");
        }
        Ok(())
    }

    /// Those that have begun, and of which all but the files is `erased` or not.
    async fn begun(&self, erased: bool) -> Result<Vec<Erasure>, CatalogError> {
        let mut begun = self.catalog.erasures().await?;
        begun.retain(|erasure| erasure.erased == erased);
        Ok(begun)
    }

    async fn erase(&self, erasure: &Erasure) -> Result<(), ErasureError> {
        let user = erasure.user;
        if let Some((collab, _)) = &self.live {
            collab.rights_changed(Affected::User(user)).await;
        }
        loop {
            let owned = self.catalog.owned_documents(user, None, PAGE).await?;
            if owned.is_empty() {
                break;
            }
            for document in owned {
                let actor = self.actor(erasure);
                if let Some(heir) = erasure.transfer_to {
                    let transferred =
                        self.catalog
                            .transfer_document(&actor, document.id, user, heir);
                    transferred.await?;
                    if let Some((collab, _)) = &self.live {
                        collab.rights_changed(Affected::Document(document.id)).await;
                    }
                    continue;
                }
                self.log.delete(document.id).await?;
                if let Some((collab, _)) = &self.live {
                    collab.evict(document.id).await;
                }
                self.catalog.delete_document(&actor, document.id).await?;
            }
        }
        if let Some((_, auditor)) = &self.live {
            auditor.flush(AUDIT_TIMEOUT).await;
        }
        if let Some(account) = self.catalog.user(user).await? {
            let addresses = self.catalog.audit_addresses(user).await?;
            let names = [account.email, Some(user.to_string())];
            for name in names.into_iter().flatten() {
                lockout::forget(&self.catalog, &name, &addresses).await?;
            }
        }
        let actor = self.actor(erasure);
        Ok(self.catalog.finish_erasure(&actor, user).await?)
    }

    /// From nowhere: who asked for it was noted with their address when it began.
    fn actor(&self, erasure: &Erasure) -> Actor {
        Actor {
            user: erasure.actor,
            organization: erasure.organization,
            address: String::new(),
            nonce: entropy::bytes(),
            at_ms: self.clock.now_ms(),
        }
    }
}

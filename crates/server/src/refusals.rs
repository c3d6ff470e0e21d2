//! What is refused is noted in the audit trail, and a loop of it does not flood the trail.
//!
//! Of each kind of refusal the first is a row at once. Those of the same kind that follow within a minute are
//! counted, and one row tells at its end how many they were (`repeated`).
//!
//! # Invariants
//!
//! - **counted**: each refusal has a row or is in the number of one; only the end of the process without leave
//!   loses what is counted within the last minute.
//! - **few**: one who is refused makes at most twice [`KINDS_MAX`] rows a minute, and one or two more for each
//!   action, which count what is of further kinds.
//! - **bounded**: at most [`WHO_MAX`] are counted apart; those who come then are counted together.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use motet_catalog::{Actor, Entry};
use motet_model::{Clock, UserId};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::audit::{Auditor, Full};

/// For how long refusals of one kind are counted together.
const COUNTED_MS: u64 = 60_000;
/// How often to look whose minute is over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Kinds of one who is refused that have rows of their own.
const KINDS_MAX: usize = 16;
/// Those who are counted apart.
const WHO_MAX: usize = 10_000;

/// Who is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// An account that has signed in.
    User(UserId),
    /// Whoever comes from this network.
    Network(IpAddr),
    /// One of those who are too many.
    Anyone,
}

/// Notes refusals.
pub(crate) struct Refusals {
    auditor: Auditor,
    clock: Arc<dyn Clock>,
    minutes: Mutex<HashMap<Who, Minute>>,
}

/// What one was refused within a minute.
#[derive(Debug)]
struct Minute {
    since_ms: u64,
    kinds: Vec<Counted>,
}

/// Refusals of one kind: those that have the same entry.
#[derive(Debug)]
struct Counted {
    entry: Entry,
    /// Those that have no row yet, and the last of them.
    repeated: Option<(u64, Actor)>,
}

impl Refusals {
    pub(crate) fn new(auditor: Auditor, clock: Arc<dyn Clock>) -> Arc<Self> {
        let refusals = Arc::new(Self {
            auditor,
            clock,
            minutes: Mutex::default(),
        });
        tokio::spawn(run(Arc::downgrade(&refusals)));
        refusals
    }

    /// Notes that `actor` was refused what `entry` says.
    ///
    /// # Errors
    ///
    /// `Full`: it is not noted.
    pub(crate) async fn note(&self, who: Who, actor: Actor, entry: Entry) -> Result<(), Full> {
        let place = self.auditor.place().await?;
        if self.is_first(who, &actor, &entry) {
            self.auditor.note_at(Some(place), actor, entry);
        }
        Ok(())
    }

    /// Whether it is the first of its kind; if not, it is counted.
    fn is_first(&self, who: Who, actor: &Actor, entry: &Entry) -> bool {
        let mut minutes = self.minutes();
        let is_known = minutes.contains_key(&who) || minutes.len() < WHO_MAX;
        let who = if is_known { who } else { Who::Anyone };
        let minute = minutes.entry(who).or_insert_with(|| Minute {
            since_ms: self.clock.now_ms(),
            kinds: Vec::new(),
        });
        minute.is_first(actor, entry)
    }

    /// Notes what was counted in minutes that are over, or in all.
    async fn sweep(&self, all: bool) -> Result<(), Full> {
        loop {
            let place = self.auditor.place().await?;
            let Some((actor, entry)) = self.take(all) else {
                return Ok(());
            };
            self.auditor.note_at(Some(place), actor, entry);
        }
    }

    /// One row of what was counted. Minutes of which none is left are forgotten.
    fn take(&self, all: bool) -> Option<(Actor, Entry)> {
        let now_ms = self.clock.now_ms();
        let mut minutes = self.minutes();
        let mut taken = None;
        minutes.retain(|_, minute| {
            // Also when the clock was set back.
            let is_over = all || minute.since_ms.abs_diff(now_ms) >= COUNTED_MS;
            if !is_over || taken.is_some() {
                return true;
            }
            while let Some(Counted { entry, repeated }) = minute.kinds.pop() {
                if let Some((count, actor)) = repeated {
                    taken = Some((actor, entry.detail("repeated", json!(count))));
                    break;
                }
            }
            !minute.kinds.is_empty()
        });
        taken
    }

    /// Notes what was counted until now: the server stops.
    pub(crate) async fn flush(&self) {
        if self.sweep(true).await.is_err() {
            tracing::error!("what was refused last is not in the audit trail");
        }
    }

    fn minutes(&self) -> MutexGuard<'_, HashMap<Who, Minute>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    fn is_first(&mut self, actor: &Actor, entry: &Entry) -> bool {
        let place = self.kinds.iter().position(|kind| kind.entry == *entry);
        if place.is_none() && self.kinds.len() < KINDS_MAX {
            self.kinds.push(Counted {
                entry: entry.clone(),
                repeated: None,
            });
            return true;
        }
        let kind = match place {
            Some(place) => &mut self.kinds[place],
            None => self.others(entry),
        };
        let count = kind.repeated.as_ref().map_or(0, |(count, _)| *count);
        kind.repeated = Some((count + 1, actor.clone()));
        false
    }

    /// What counts all further kinds of the entry's action.
    fn others(&mut self, entry: &Entry) -> &mut Counted {
        let bare = Entry::new(entry.action());
        let place = self.kinds.iter().position(|kind| kind.entry == bare);
        let place = place.unwrap_or_else(|| {
            self.kinds.push(Counted {
                entry: bare,
                repeated: None,
            });
            self.kinds.len() - 1
        });
        &mut self.kinds[place]
    }
}

async fn run(refusals: Weak<Refusals>) {
    let mut times = interval(SWEEP_INTERVAL);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        let Some(refusals) = refusals.upgrade() else {
            return;
        };
        // What is not noted now is with the next.
        let _later = refusals.sweep(false).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use motet_catalog::{AuditAction, AuditFilter, Catalog};
    use motet_model::{DocumentId, OrganizationId};

    use super::*;

    #[derive(Default)]
    struct Set(AtomicU64);

    impl Clock for Set {
        fn now_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    struct Scene {
        _folder: tempfile::TempDir,
        catalog: Catalog,
        auditor: Auditor,
        clock: Arc<Set>,
        refusals: Arc<Refusals>,
    }

    impl Scene {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("catalog.db");
            let catalog = Catalog::open_sqlite(&file).await.unwrap();
            let auditor = Auditor::start(catalog.clone());
            let clock = Arc::new(Set::default());
            // Without the task that looks at them: the test does.
            let refusals = Arc::new(Refusals {
                auditor: auditor.clone(),
                clock: clock.clone(),
                minutes: Mutex::default(),
            });
            Self {
                _folder: folder,
                catalog,
                auditor,
                clock,
                refusals,
            }
        }

        async fn refuse(&self, who: u8, document: u8) {
            let user = UserId::from_bytes([who; 16]);
            let actor = Actor {
                user: Some(user),
                organization: OrganizationId::DEFAULT,
                address: String::new(),
                nonce: [0; 16],
                at_ms: self.clock.now_ms(),
            };
            let entry = Entry::new(AuditAction::DocumentRefused)
                .document(DocumentId::from_bytes([document; 16]))
                .details(json!({ "act": "edit" }));
            let noted = self.refusals.note(Who::User(user), actor, entry).await;
            noted.unwrap();
        }

        async fn sweep(&self) {
            self.refusals.sweep(false).await.unwrap();
        }

        /// How many each row counts, the earliest first, with the document if it names one.
        async fn rows(&self) -> Vec<(Option<u8>, u64)> {
            self.auditor.flush(Duration::from_secs(60)).await;
            let rows = self.catalog.audit(&AuditFilter::default(), u32::MAX).await;
            let rows = rows.unwrap().into_iter().rev();
            rows.map(|row| {
                let repeated = row.details["repeated"].as_u64().unwrap_or(1);
                (row.document.map(|id| id.to_bytes()[0]), repeated)
            })
            .collect()
        }
    }

    #[tokio::test]
    async fn counted() {
        let scene = Scene::new().await;
        for _ in 0..50 {
            scene.refuse(1, 7).await;
        }
        scene.refuse(1, 8).await;
        scene.refuse(2, 7).await;
        let first = [(Some(7), 1), (Some(8), 1), (Some(7), 1)];
        assert_eq!(scene.rows().await, first);
        scene.clock.0.store(COUNTED_MS - 1, Ordering::Relaxed);
        scene.sweep().await;
        assert_eq!(scene.rows().await, first, "the minute is not over");
        scene.clock.0.store(COUNTED_MS, Ordering::Relaxed);
        scene.sweep().await;
        let rows = scene.rows().await;
        assert_eq!(rows[3..], [(Some(7), 49)]);
        // The next minute begins anew, and its end is not waited for when the server stops.
        scene.refuse(1, 7).await;
        scene.refuse(1, 7).await;
        scene.refusals.flush().await;
        let rows = scene.rows().await;
        assert_eq!(rows[4..], [(Some(7), 1), (Some(7), 1)]);
        assert!(scene.refusals.minutes().is_empty());
    }

    #[tokio::test]
    async fn few() {
        let scene = Scene::new().await;
        for document in 0..=u8::MAX {
            scene.refuse(1, document).await;
            scene.refuse(1, document).await;
        }
        scene.refusals.flush().await;
        let rows = scene.rows().await;
        assert_eq!(rows.len(), 2 * KINDS_MAX + 1);
        let all: u64 = rows.iter().map(|(_, count)| count).sum();
        assert_eq!(all, 512, "each counts");
    }

    #[tokio::test]
    async fn bounded() {
        let scene = Scene::new().await;
        let user = UserId::from_bytes([1; 16]);
        let actor = Actor {
            user: Some(user),
            organization: OrganizationId::DEFAULT,
            address: String::new(),
            nonce: [0; 16],
            at_ms: 0,
        };
        let entry = Entry::new(AuditAction::SignInFailed);
        for n in 0..u32::try_from(2 * WHO_MAX).unwrap() {
            let who = Who::Network(IpAddr::from(n.to_be_bytes()));
            scene.refusals.is_first(who, &actor, &entry);
        }
        assert_eq!(scene.refusals.minutes().len(), WHO_MAX + 1);
    }
}

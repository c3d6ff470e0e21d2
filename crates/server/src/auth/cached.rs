//! What is fetched from elsewhere, and kept for a while.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::outgoing::OutgoingError;

/// A value is fetched anew after this time, while the old one is used;
const FRESH_MS: u64 = 10 * 60_000;
/// after this one who needs it waits until it has been tried;
const STALE_MS: u64 = 60 * 60_000;
/// and after this one it is not used any more, however often fetching failed.
const USABLE_MS: u64 = 24 * 60 * 60_000;
/// Two attempts are at least so far apart.
pub(super) const RETRY_MS: u64 = 10_000;

/// Fetches the value.
pub(super) type Fetch<T> = Box<dyn Fn() -> Fetching<T> + Send + Sync>;
pub(super) type Fetching<T> = Pin<Box<dyn Future<Output = Result<T, FetchError>> + Send>>;

/// A value from elsewhere. One fetch runs at a time, goes on when nobody waits for it any more, and one that
/// fails leaves the value as it was.
pub(super) struct Cached<T> {
    /// For the log.
    what: String,
    fetch: Fetch<T>,
    latest: RwLock<Option<Latest<T>>>,
    /// When it was last tried; held by whoever fetches.
    tried_at_ms: Arc<Mutex<Option<u64>>>,
}

struct Latest<T> {
    value: Arc<T>,
    fetched_at_ms: u64,
}

/// Why there is no new value.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// No answer.
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    /// An answer that says no; redirects are not followed.
    #[error("the answer has the status {0}")]
    Status(u16),
    /// An answer that is something else.
    #[error("{0}")]
    Malformed(String),
}

impl<T: Send + Sync + 'static> Cached<T> {
    pub(super) fn new(what: impl fmt::Display, fetch: Fetch<T>) -> Arc<Self> {
        Arc::new(Self {
            what: what.to_string(),
            fetch,
            latest: RwLock::new(None),
            tried_at_ms: Arc::default(),
        })
    }

    /// The latest value, and one that is `wanted` if fetching can bring it. None if there is none.
    pub(super) async fn get(
        self: &Arc<Self>,
        now_ms: u64,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<Arc<T>> {
        if let Some((value, age_ms)) = self.latest(now_ms)
            && age_ms < STALE_MS
            && wanted(&value)
        {
            if age_ms >= FRESH_MS
                && let Ok(turn) = Arc::clone(&self.tried_at_ms).try_lock_owned()
            {
                tokio::spawn(Arc::clone(self).refresh(turn, now_ms));
            }
            return Some(value);
        }
        let turn = Arc::clone(&self.tried_at_ms).lock_owned().await;
        // Whoever held the turn before may have brought it.
        if let Some((value, age_ms)) = self.latest(now_ms)
            && age_ms < FRESH_MS
            && wanted(&value)
        {
            return Some(value);
        }
        // In a task of its own: a client that goes away does not stop what others wait for.
        let refreshed = tokio::spawn(Arc::clone(self).refresh(turn, now_ms));
        if let Err(error) = refreshed.await {
            tracing::error!(what = self.what, %error, "fetching failed");
        }
        let latest = self.latest(now_ms);
        latest.map(|(value, _)| value)
    }

    /// What may be used, and how old it is.
    fn latest(&self, now_ms: u64) -> Option<(Arc<T>, u64)> {
        let latest = self.latest.read().unwrap_or_else(PoisonError::into_inner);
        let Latest {
            value,
            fetched_at_ms,
        } = latest.as_ref()?;
        let age_ms = now_ms.saturating_sub(*fetched_at_ms);
        (age_ms < USABLE_MS).then(|| (Arc::clone(value), age_ms))
    }

    async fn refresh(self: Arc<Self>, mut turn: OwnedMutexGuard<Option<u64>>, now_ms: u64) {
        if turn.is_some_and(|tried_at_ms| tried_at_ms.abs_diff(now_ms) < RETRY_MS) {
            return;
        }
        *turn = Some(now_ms);
        match (self.fetch)().await {
            Ok(value) => {
                let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
                *latest = Some(Latest {
                    value: Arc::new(value),
                    fetched_at_ms: now_ms,
                });
            }
            Err(error) => {
                // The cause of a failed request stands behind it.
                let error = &error as &dyn std::error::Error;
                tracing::warn!(what = self.what, error, "cannot be fetched");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex as StdMutex,
        atomic::{AtomicU32, Ordering},
    };

    use tokio::sync::Semaphore;

    use super::*;

    /// A value that counts its fetches, which each wait for a permit.
    struct Source {
        fetches: AtomicU32,
        permits: Semaphore,
        works: StdMutex<bool>,
    }

    fn counted() -> (Arc<Source>, Arc<Cached<u32>>) {
        let source = Arc::new(Source {
            fetches: AtomicU32::new(0),
            permits: Semaphore::new(0),
            works: StdMutex::new(true),
        });
        let fetch: Fetch<u32> = Box::new({
            let source = Arc::clone(&source);
            move || {
                let source = Arc::clone(&source);
                Box::pin(async move {
                    let number = source.fetches.fetch_add(1, Ordering::SeqCst) + 1;
                    source.permits.acquire().await.unwrap().forget();
                    let works = *source.works.lock().unwrap();
                    works.then_some(number).ok_or(FetchError::Status(500))
                })
            }
        });
        (source, Cached::new("a number", fetch))
    }

    #[tokio::test]
    async fn one_fetch_for_many_and_it_outlives_who_asked() {
        let (source, cached) = counted();
        let ask = |cached: &Arc<Cached<u32>>| {
            let cached = Arc::clone(cached);
            tokio::spawn(async move { cached.get(0, |_| true).await.as_deref().copied() })
        };
        let first = ask(&cached);
        while source.fetches.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        first.abort();
        let others: Vec<_> = (0..20).map(|_| ask(&cached)).collect();
        source.permits.add_permits(1);
        for other in others {
            assert_eq!(other.await.unwrap(), Some(1));
        }
        assert_eq!(source.fetches.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_is_not_there_is_looked_for_now_and_then() {
        let (source, cached) = counted();
        source.permits.add_permits(9);
        for now_ms in [0, 1, RETRY_MS - 1] {
            let got = cached.get(now_ms, |value| *value == 7).await;
            assert_eq!(got.as_deref(), Some(&1), "at {now_ms}");
        }
        let got = cached.get(RETRY_MS, |value| *value == 7).await;
        assert_eq!(got.as_deref(), Some(&2));
    }

    #[tokio::test]
    async fn a_failed_fetch_keeps_what_was_there_for_a_day() {
        let (source, cached) = counted();
        source.permits.add_permits(99);
        assert_eq!(cached.get(0, |_| true).await.as_deref(), Some(&1));
        *source.works.lock().unwrap() = false;
        for now_ms in [FRESH_MS, STALE_MS, USABLE_MS - 1] {
            let got = cached.get(now_ms, |_| true).await;
            assert_eq!(got.as_deref(), Some(&1), "at {now_ms}");
        }
        assert!(source.fetches.load(Ordering::SeqCst) > 2, "it was tried");
        assert_eq!(cached.get(USABLE_MS, |_| true).await, None);
        *source.works.lock().unwrap() = true;
        let got = cached.get(USABLE_MS + RETRY_MS, |_| true).await;
        assert!(got.is_some());
    }
}

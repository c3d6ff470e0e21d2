//! Connections to the database, and what becomes of those who want one while it is away.
//!
//! Whoever wants a connection waits for it as long as [`ACQUIRE_TIMEOUT`]. Once somebody has waited in vain while
//! nobody else was given one, the circuit is open: everybody is refused until the database is found again.
//!
//! # Invariants
//!
//! - **at once**: while the circuit is open nobody waits, those neither who waited when it opened.
//! - **one at a time**: only one task looks for the database then, now and then, at another time on each node.
//! - **afresh**: once it is back there are only new connections. Those from before may be to a machine that is gone,
//!   and whoever waits for an answer on one may wait for ever.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{Any, AnyPool, Error, Transaction, pool::PoolConnection};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{CatalogError, database::Database};

/// How long a query waits for a connection, also while the database is being started.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the database may take to let in who looks for it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest pause before it is looked for first, and after many times.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long statements on connections from before are waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The connections of a catalog. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: RwLock<AnyPool>,
    database: Database,
    /// How many connections were given out: the database had answered on each just before.
    given: AtomicU64,
    /// Whether the circuit is open: then there is the task that closes it.
    away: watch::Sender<bool>,
}

impl Pool {
    pub(crate) fn new(pool: AnyPool, database: Database) -> Self {
        Self(Arc::new(Shared {
            pool: RwLock::new(pool),
            database,
            given: AtomicU64::new(0),
            away: watch::Sender::new(false),
        }))
    }

    /// A connection.
    ///
    /// # Errors
    ///
    /// `Away`, `Unavailable`.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Any>, CatalogError> {
        let pool = self.0.current();
        self.guard(pool.acquire()).await
    }

    /// A transaction that will write.
    ///
    /// # Errors
    ///
    /// `Away`, `Unavailable`.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, CatalogError> {
        let pool = self.0.current();
        let begin = self.0.database.begin();
        self.guard(pool.begin_with(begin)).await
    }

    /// How many connections were given out so far.
    pub(crate) fn given(&self) -> u64 {
        self.0.given.load(Ordering::Relaxed)
    }

    pub(crate) async fn close(&self) {
        self.0.current().close().await;
    }

    /// What is taken from the pool, unless the circuit is open or opens meanwhile.
    async fn guard<T>(
        &self,
        taking: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, CatalogError> {
        let before = self.given();
        let mut away = self.0.away.subscribe();
        let taken = tokio::select! {
            biased;
            // Its sender is held here.
            _ = away.wait_for(|is_away| *is_away) => return Err(CatalogError::Away),
            taken = taking => taken,
        };
        match taken {
            Ok(taken) => {
                self.0.given.fetch_add(1, Ordering::Relaxed);
                Ok(taken)
            }
            // A file is not away: others have it. Where others were given connections there are too few of them.
            Err(Error::PoolTimedOut)
                if self.0.database == Database::Postgres && self.given() == before =>
            {
                self.open();
                Err(CatalogError::Away)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn open(&self) {
        let opened = |is_away: &mut bool| !std::mem::replace(is_away, true);
        if self.0.away.send_if_modified(opened) {
            tracing::error!("the database is away: whoever needs it is refused until it is back");
            tokio::spawn(look(Arc::downgrade(&self.0)));
        }
    }
}

impl Shared {
    fn current(&self) -> AnyPool {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        pool.clone()
    }

    fn replace(&self, pool: AnyPool) -> AnyPool {
        let mut current = self.pool.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, pool)
    }
}

/// Looks for the database until it is there, and closes the circuit.
async fn look(shared: Weak<Shared>) {
    let mut pause = PAUSE_MIN;
    loop {
        sleep(pause.mul_f64(0.5 + 0.5 * random())).await;
        pause = (pause * 2).min(PAUSE_MAX);
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let old = shared.current();
        if old.is_closed() {
            return;
        }
        let options = old.options().clone();
        let fresh = options.connect_lazy_with((*old.connect_options()).clone());
        if let Ok(Ok(_)) = timeout(LOOK_TIMEOUT, fresh.acquire()).await {
            tracing::info!("the database is back");
            shared.replace(fresh);
            shared.away.send_replace(false);
            // Who is still at work on an old connection may end that.
            let _late = timeout(CLOSE_TIMEOUT, old.close()).await;
            return;
        }
    }
}

/// From 0 to 1: the keys of a hasher are random enough to spread those who look.
fn random() -> f64 {
    (RandomState::new().build_hasher().finish() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use futures_util::FutureExt;
    use motet_testing::{Proxy, Schema, Weather};
    use sqlx::any::AnyPoolOptions;
    use tokio::{runtime::Handle, task::JoinSet};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A pool for the impatient, its network, and what it is in.
    async fn pool() -> (Pool, Proxy, Schema) {
        sqlx::any::install_default_drivers();
        let schema = Schema::new().await;
        let proxy = Proxy::start(schema.host().to_owned()).await;
        let url = schema.url_through(&proxy.address.to_string());
        let options = AnyPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(Duration::from_secs(2));
        let pool = options.connect(&url).await.unwrap();
        (Pool::new(pool, Database::Postgres), proxy, schema)
    }

    #[tokio::test]
    async fn at_once() {
        let (pool, proxy, _schema) = pool().await;
        drop(pool.connection().await.unwrap());
        let before = pool.0.current();
        proxy.set(Weather::Stalled);
        let mut waiting = JoinSet::new();
        for _ in 0..8 {
            let pool = pool.clone();
            waiting.spawn(async move { pool.connection().await.map(drop) });
        }
        while let Some(waited) = waiting.join_next().await {
            assert!(matches!(waited.unwrap(), Err(CatalogError::Away)));
        }
        let refused = pool.connection().now_or_never().unwrap();
        assert!(matches!(refused, Err(CatalogError::Away)));
        let refused = pool.begin().now_or_never().unwrap();
        assert!(matches!(refused, Err(CatalogError::Away)));

        proxy.set(Weather::Clear);
        let mut away = pool.0.away.subscribe();
        let back = away.wait_for(|is_away| !is_away);
        assert!(timeout(PATIENCE, back).await.is_ok());
        assert!(pool.connection().await.is_ok());
        // **afresh**
        assert!(!pool.0.current().is_closed());
        assert!(timeout(PATIENCE, before.close_event()).await.is_ok());
    }

    #[tokio::test]
    async fn where_others_are_served_the_database_is_not_away() {
        let (pool, _proxy, _schema) = pool().await;
        let waiting = async {
            drop(pool.connection().await.unwrap());
            Err::<(), _>(Error::PoolTimedOut)
        };
        let refused = pool.guard(waiting).await;
        assert!(matches!(refused, Err(CatalogError::Unavailable { .. })));
        assert!(!*pool.0.away.borrow());
    }

    #[tokio::test]
    async fn one_at_a_time() {
        let (pool, _proxy, _schema) = pool().await;
        let before = Handle::current().metrics().num_alive_tasks();
        for _ in 0..8 {
            pool.open();
        }
        assert_eq!(Handle::current().metrics().num_alive_tasks(), before + 1);
    }
}

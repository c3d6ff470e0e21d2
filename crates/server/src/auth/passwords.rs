//! Hashes passwords with argon2id (RFC 9106, the parameters that OWASP recommends), beside the async
//! threads, a few at a time.
//!
//! ```text
//! sign-ins ── places ── 2 turns ─┐
//!                                ├─ 2 cores
//! the rest ── places ── 1 turn ──┘
//! ```
//!
//! # Invariants
//!
//! - **apart**: how many hashes of one lane wait refuses none of the other.
//! - **shared**: while both lanes wait, two of three hashes that begin are sign-ins: whoever has a turn gets
//!   a core in the order in which they came, and of three with a turn one is no sign-in.
//! - **a quarter at most**: of a lane's places one user, network or link has [`SHARE_MAX`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier, password_hash::SaltString};
use motet_model::{LinkId, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::entropy;

/// Hashes that are worked out at a time: each takes a core and 19 MiB.
const CONCURRENT_MAX: usize = 2;
/// Those of them that are no sign-ins: a core is left for whoever signs in.
const OTHERS_MAX: usize = CONCURRENT_MAX / 2;
/// Hashes of one lane that are worked out or wait for their turn: about a second's work. Whoever waited
/// longer would have gone.
const PLACES_MAX: usize = 64;
/// Those of them that one user, network or link has.
const SHARE_MAX: usize = PLACES_MAX / 4;

const _: () = assert!(OTHERS_MAX >= 1 && SHARE_MAX >= 1);

/// For what a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody signs in from this network.
    SignIn(IpAddr),
    /// Somebody makes an account from this network.
    Registration(IpAddr),
    /// Somebody opens this link from this network.
    Link(LinkId, IpAddr),
    /// This account asks, which has signed in.
    Account(UserId),
}

/// Whose share of the places a hash counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asker {
    Account(UserId),
    Network(IpAddr),
    Link(LinkId),
}

/// Hashes passwords. Clones share what there is to work with.
#[derive(Clone, Debug)]
pub struct Passwords {
    sign_ins: Lane,
    others: Lane,
    /// One for each hash that is worked out.
    cores: Arc<Semaphore>,
    /// Of no password: an unknown account takes as long to refuse as a wrong password.
    decoy: Arc<str>,
}

/// Hashes that wait for each other.
#[derive(Clone, Debug)]
struct Lane {
    /// One for each hash that is worked out or waits.
    places: Arc<Semaphore>,
    /// One for each hash that has a core or is about to get one.
    turns: Arc<Semaphore>,
    shares: Shares,
}

/// How many places each asker has in a lane; those who have none are not in it.
#[derive(Clone, Debug, Default)]
struct Shares(Arc<Mutex<HashMap<Asker, usize>>>);

/// A place in a lane, with what it counts for.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    askers: Vec<Asker>,
    shares: Shares,
}

/// As many hashes wait as may wait. Retry later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

impl Passwords {
    /// Ready to hash.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sign_ins: Lane::new(CONCURRENT_MAX),
            others: Lane::new(OTHERS_MAX),
            cores: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            decoy: hash(&entropy::token::<32>()).into(),
        }
    }

    /// The password's hash in PHC form.
    ///
    /// # Errors
    ///
    /// `Busy`: retry later.
    pub async fn hash(&self, purpose: Purpose, password: String) -> Result<String, Busy> {
        self.run(purpose, move || hash(&password)).await
    }

    /// Whether `password` has the hash `expected`; with `None` takes as long to say no.
    ///
    /// # Errors
    ///
    /// `Busy`: retry later.
    pub async fn verify(
        &self,
        purpose: Purpose,
        password: String,
        expected: Option<String>,
    ) -> Result<bool, Busy> {
        let known = expected.is_some();
        let expected = expected.unwrap_or_else(|| self.decoy.to_string());
        let matches = self.run(purpose, move || {
            PasswordHash::new(&expected).is_ok_and(|expected| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &expected)
                    .is_ok()
            })
        });
        Ok(matches.await? && known)
    }

    async fn run<T: Send + 'static>(
        &self,
        purpose: Purpose,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (lane, askers) = match purpose {
            Purpose::SignIn(network) => (&self.sign_ins, vec![Asker::Network(network)]),
            Purpose::Registration(network) => (&self.others, vec![Asker::Network(network)]),
            Purpose::Link(link, network) => {
                let askers = vec![Asker::Link(link), Asker::Network(network)];
                (&self.others, askers)
            }
            Purpose::Account(user) => (&self.others, vec![Asker::Account(user)]),
        };
        let place = lane.place(askers)?;
        let turn = permit(&lane.turns).await;
        let core = permit(&self.cores).await;
        let done = tokio::task::spawn_blocking(move || {
            // The work goes on when nobody waits for it any more, and counts until it is done. The turn is given
            // on before the core: whoever gets it comes to stand in line while the core is still held.
            let _held = (turn, core, place);
            work()
        });
        Ok(done.await.expect("hashing does not panic"))
    }
}

impl Lane {
    fn new(turns: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(PLACES_MAX)),
            turns: Arc::new(Semaphore::new(turns)),
            shares: Shares::default(),
        }
    }

    fn place(&self, askers: Vec<Asker>) -> Result<Place, Busy> {
        let permit = Arc::clone(&self.places).try_acquire_owned();
        let permit = permit.map_err(|_| Busy)?;
        let mut shares = self.shares.lock();
        let is_full = |asker: &Asker| shares.get(asker).is_some_and(|share| *share >= SHARE_MAX);
        if askers.iter().any(is_full) {
            return Err(Busy);
        }
        for asker in &askers {
            *shares.entry(*asker).or_default() += 1;
        }
        drop(shares);
        Ok(Place {
            _permit: permit,
            askers,
            shares: self.shares.clone(),
        })
    }
}

impl Shares {
    fn lock(&self) -> MutexGuard<'_, HashMap<Asker, usize>> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shares = self.shares.lock();
        for asker in &self.askers {
            if let Some(share) = shares.get_mut(asker) {
                *share -= 1;
            }
            if shares.get(asker) == Some(&0) {
                shares.remove(asker);
            }
        }
    }
}

async fn permit(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = Arc::clone(semaphore).acquire_owned().await;
    permit.expect("the semaphore is never closed")
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

fn hash(password: &str) -> String {
    let salt = SaltString::encode_b64(&entropy::bytes::<16>()).expect("16 bytes make a salt");
    Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .expect("the default parameters are valid")
        .to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};

    use super::*;

    /// Hashes that each say when they begin, and end in that order as they are let.
    struct Slow {
        passwords: Passwords,
        gate: Arc<Semaphore>,
        begun: mpsc::UnboundedSender<Purpose>,
        beginnings: mpsc::UnboundedReceiver<Purpose>,
    }

    impl Slow {
        fn new() -> Self {
            let (begun, beginnings) = mpsc::unbounded_channel();
            Self {
                passwords: Passwords::new(),
                gate: Arc::new(Semaphore::new(0)),
                begun,
                beginnings,
            }
        }

        fn ask(&self, purpose: Purpose) -> JoinHandle<Result<(), Busy>> {
            let (passwords, gate) = (self.passwords.clone(), Arc::clone(&self.gate));
            let begun = self.begun.clone();
            tokio::spawn(async move {
                let work = move || {
                    begun.send(purpose).unwrap();
                    Handle::current().block_on(gate.acquire()).unwrap().forget();
                };
                passwords.run(purpose, work).await
            })
        }

        /// Asks so often, each time for another.
        fn fill(
            &self,
            count: usize,
            purpose: fn(u8) -> Purpose,
        ) -> Vec<JoinHandle<Result<(), Busy>>> {
            let each = (0..count).map(|n| self.ask(purpose(u8::try_from(n).unwrap())));
            each.collect()
        }

        /// Lets so many end.
        fn end(&self, count: usize) {
            self.gate.add_permits(count);
        }

        async fn begins(&mut self) -> Purpose {
            self.beginnings.recv().await.unwrap()
        }
    }

    fn network(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn sign_in(n: u8) -> Purpose {
        Purpose::SignIn(network(n))
    }

    fn account(n: u8) -> Purpose {
        Purpose::Account(UserId::from_bytes([n; 16]))
    }

    #[tokio::test]
    async fn a_flood_is_refused_and_what_nobody_waits_for_still_counts() {
        let mut slow = Slow::new();
        let attempts = slow.fill(PLACES_MAX, sign_in);
        for _ in 0..CONCURRENT_MAX {
            slow.begins().await;
        }
        let passwords = slow.passwords.clone();
        // Two may have begun before the last have taken their places.
        while passwords.sign_ins.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let flooded = passwords.verify(sign_in(99), "x".to_owned(), None).await;
        assert_eq!(flooded, Err(Busy));

        for attempt in attempts {
            attempt.abort();
            assert!(attempt.await.unwrap_err().is_cancelled());
        }
        let places = passwords.sign_ins.places.available_permits();
        assert_eq!(places, PLACES_MAX - CONCURRENT_MAX, "who waited left");
        assert_eq!(passwords.cores.available_permits(), 0, "the work goes on");
        slow.end(CONCURRENT_MAX);
        let hash = passwords.hash(account(1), "x".to_owned()).await.unwrap();
        let verified = passwords.verify(sign_in(1), "x".to_owned(), Some(hash));
        assert_eq!(verified.await, Ok(true));
        assert!(slow.beginnings.is_empty(), "who left is not worked for");
        for lane in [&passwords.sign_ins, &passwords.others] {
            assert!(lane.shares.lock().is_empty(), "nobody is remembered");
        }
    }

    #[tokio::test]
    async fn apart() {
        let mut slow = Slow::new();
        let mut others = slow.fill(PLACES_MAX, account);
        assert_eq!(slow.begins().await, account(0));
        assert_eq!(slow.ask(account(99)).await.unwrap(), Err(Busy));
        // A core is left for whoever signs in, however many others wait.
        let signing_in = slow.ask(sign_in(1));
        assert_eq!(slow.begins().await, sign_in(1));
        slow.end(PLACES_MAX + 1);
        others.push(signing_in);
        for done in others {
            assert_eq!(done.await.unwrap(), Ok(()));
        }

        let sign_ins = slow.fill(PLACES_MAX, sign_in);
        slow.begins().await;
        assert_eq!(slow.ask(sign_in(99)).await.unwrap(), Err(Busy));
        let other = slow.ask(account(1));
        slow.end(PLACES_MAX + 1);
        assert_eq!(other.await.unwrap(), Ok(()));
        for done in sign_ins {
            assert_eq!(done.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test]
    async fn shared() {
        let passwords = Passwords::new();
        let (begun, mut beginnings) = mpsc::unbounded_channel();
        let ask = |purpose| {
            let (passwords, begun) = (passwords.clone(), begun.clone());
            tokio::spawn(async move {
                let work = move || {
                    // Ends when the test lets go of its end, and not before.
                    let (end, ended) = std::sync::mpsc::channel::<()>();
                    begun.send((purpose, end)).unwrap();
                    assert!(ended.recv().is_err());
                };
                passwords.run(purpose, work).await
            })
        };
        let others = (0..30).map(account);
        let waiting: Vec<_> = others.chain((0..60).map(sign_in)).map(ask).collect();
        drop(begun);
        let (mut running, mut others) = (VecDeque::new(), 0_usize);
        // Not to the end: when the sign-ins are through, others begin one by one.
        for count in 1..=75 {
            if running.len() == CONCURRENT_MAX {
                // The one that has worked for longer is done.
                running.pop_front();
            }
            let (purpose, end) = beginnings.recv().await.unwrap();
            running.push_back(end);
            others += usize::from(matches!(purpose, Purpose::Account(_)));
            assert!(others.abs_diff(count / 3) <= 2, "{others} of {count}");
        }
        running.clear();
        // The rest end as they begin.
        while beginnings.recv().await.is_some() {}
        for done in waiting {
            assert_eq!(done.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test]
    async fn a_quarter_at_most() {
        let link = |n: u8, from: u8| {
            let id = LinkId::from_bytes([n; 16]);
            Purpose::Link(id, network(from))
        };
        let mut slow = Slow::new();
        let mut asked = slow.fill(SHARE_MAX, |_| sign_in(1));
        slow.begins().await;
        slow.begins().await;
        assert_eq!(slow.ask(sign_in(1)).await.unwrap(), Err(Busy));
        asked.push(slow.ask(sign_in(2)));
        // From one network, and then for one link from everywhere.
        asked.extend((0..SHARE_MAX).map(|_| slow.ask(link(1, 1))));
        tokio::task::yield_now().await;
        assert_eq!(slow.ask(link(2, 1)).await.unwrap(), Err(Busy));
        assert_eq!(slow.ask(link(1, 2)).await.unwrap(), Err(Busy));
        let registration = Purpose::Registration(network(1));
        assert_eq!(slow.ask(registration).await.unwrap(), Err(Busy));
        asked.extend([slow.ask(link(2, 2)), slow.ask(account(1))]);
        slow.end(asked.len());
        for done in asked {
            assert_eq!(done.await.unwrap(), Ok(()));
        }
        asked = vec![slow.ask(sign_in(1)), slow.ask(link(1, 1))];
        for done in asked {
            slow.end(1);
            assert_eq!(done.await.unwrap(), Ok(()), "the share is free again");
        }
    }
}

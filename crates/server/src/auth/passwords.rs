use std::sync::Arc;

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier, password_hash::SaltString};
use tokio::sync::Semaphore;

use crate::entropy;

/// Hashes that are worked out at a time: each takes a core and 19 MiB.
const CONCURRENT_MAX: usize = 2;
/// Hashes that wait for their turn: about a second's work. Whoever waited longer would have gone.
const WAITING_MAX: usize = 64;

/// Hashes passwords with argon2id (RFC 9106, the parameters that OWASP recommends), beside the async
/// threads, a few at a time.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// One for each hash that is worked out or waits.
    places: Arc<Semaphore>,
    /// One for each hash that is worked out.
    permits: Arc<Semaphore>,
    /// Of no password: an unknown account takes as long to refuse as a wrong password.
    decoy: Arc<str>,
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
            places: Arc::new(Semaphore::new(CONCURRENT_MAX + WAITING_MAX)),
            permits: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            decoy: hash(&entropy::token::<32>()).into(),
        }
    }

    /// The password's hash in PHC form.
    ///
    /// # Errors
    ///
    /// `Busy`: retry later.
    pub async fn hash(&self, password: String) -> Result<String, Busy> {
        self.run(move || hash(&password)).await
    }

    /// Whether `password` has the hash `expected`; with `None` takes as long to say no.
    ///
    /// # Errors
    ///
    /// `Busy`: retry later.
    pub async fn verify(&self, password: String, expected: Option<String>) -> Result<bool, Busy> {
        let known = expected.is_some();
        let expected = expected.unwrap_or_else(|| self.decoy.to_string());
        let matches = self.run(move || {
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
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = Arc::clone(&self.places);
        let place = place.try_acquire_owned().map_err(|_| Busy)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            // The work goes on when nobody waits for it any more, and counts until it is done.
            let _held = (place, permit);
            work()
        });
        Ok(done.await.expect("hashing does not panic"))
    }
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
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_flood_is_refused_and_what_nobody_waits_for_still_counts() {
        let passwords = Passwords::new();
        let (go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let (begun, mut beginnings) = tokio::sync::mpsc::unbounded_channel();
        let attempts: Vec<_> = (0..CONCURRENT_MAX + WAITING_MAX)
            .map(|_| {
                let (passwords, wait, begun) = (passwords.clone(), wait.clone(), begun.clone());
                tokio::spawn(async move {
                    let work = move || {
                        begun.send(()).unwrap();
                        wait.lock().unwrap().recv().unwrap();
                    };
                    passwords.run(work).await
                })
            })
            .collect();
        for _ in 0..CONCURRENT_MAX {
            beginnings.recv().await.unwrap();
        }
        assert_eq!(passwords.hash("x".to_owned()).await, Err(Busy));
        assert_eq!(passwords.verify("x".to_owned(), None).await, Err(Busy));

        for attempt in attempts {
            attempt.abort();
            assert!(attempt.await.unwrap_err().is_cancelled());
        }
        let (places, permits) = (&passwords.places, &passwords.permits);
        assert_eq!(places.available_permits(), WAITING_MAX, "who waited left");
        assert_eq!(permits.available_permits(), 0, "the work goes on");
        for _ in 0..CONCURRENT_MAX {
            go.send(()).unwrap();
        }
        let hash = passwords.hash("x".to_owned()).await.unwrap();
        let verified = passwords.verify("x".to_owned(), Some(hash)).await;
        assert_eq!(verified, Ok(true));
        assert!(beginnings.is_empty(), "who left is not worked for");
    }
}

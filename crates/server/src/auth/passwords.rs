use std::sync::Arc;

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier, password_hash::SaltString};
use tokio::sync::Semaphore;

use crate::entropy;

/// Hashes that are worked out at a time: each takes a core and 19 MiB.
const CONCURRENT_MAX: usize = 2;

/// Hashes passwords with argon2id (RFC 9106, the parameters that OWASP recommends), beside the async
/// threads, a few at a time.
#[derive(Clone, Debug)]
pub struct Passwords {
    permits: Arc<Semaphore>,
    /// Of no password: an unknown account takes as long to refuse as a wrong password.
    decoy: Arc<str>,
}

impl Passwords {
    /// Ready to hash.
    #[must_use]
    pub fn new() -> Self {
        let permits = Arc::new(Semaphore::new(CONCURRENT_MAX));
        Self {
            permits,
            decoy: hash(&entropy::token::<32>()).into(),
        }
    }

    /// The password's hash in PHC form.
    pub async fn hash(&self, password: String) -> String {
        self.run(move || hash(&password)).await
    }

    /// Whether `password` has the hash `expected`; with `None` takes as long to say no.
    pub async fn verify(&self, password: String, expected: Option<String>) -> bool {
        let known = expected.is_some();
        let expected = expected.unwrap_or_else(|| self.decoy.to_string());
        let matches = self.run(move || {
            PasswordHash::new(&expected).is_ok_and(|expected| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &expected)
                    .is_ok()
            })
        });
        matches.await && known
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let _permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        tokio::task::spawn_blocking(work)
            .await
            .expect("hashing does not panic")
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

//! Slows down those who try passwords: after a few failures in a row each further attempt has to wait,
//! twice as long as the one before.
//!
//! Failures count for an account from one network, which stops a person who tries; for an account from
//! anywhere, and for a network at whichever accounts, with more patience, since others share these. An
//! account that does not exist counts as one that does, so waiting tells nothing.
//!
//! # Invariants
//!
//! - **not locked out by others**: from where somebody was let in lately, failures from elsewhere make
//!   nobody wait.
//! - **counted**: an attempt is counted before the password is looked at, so many at once gain nothing.

use std::net::IpAddr;

use motet_catalog::{Catalog, CatalogError, Failures};
use sha2::{Digest, Sha256};

use super::hex;
use crate::http::network_of;

/// How many failures are free.
const FREE_PAIR: u64 = 5;
const FREE_ACCOUNT: u64 = 50;
const FREE_ADDRESS: u64 = 100;
/// The first wait, and the longest.
const WAIT_FIRST_MS: u64 = 1_000;
const WAIT_MAX_MS: u64 = 15 * 60 * 1_000;
/// Failures are forgotten when there was none for so long.
const MEMORY_MS: u64 = 60 * 60 * 1_000;
/// Successes are forgotten when there was none for so long.
const KNOWN_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Why an attempt is not even looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockoutError {
    /// Too many have failed. Wait.
    #[error("too many attempts: wait {} s", .wait_ms.div_ceil(1_000))]
    Locked {
        /// How long.
        wait_ms: u64,
    },
    /// Retry later.
    #[error(transparent)]
    Unavailable(#[from] CatalogError),
}

/// An attempt that may go on, and counts as failed until it is said to have succeeded.
#[derive(Debug)]
pub(crate) struct Attempt {
    pair: String,
    known: String,
    now_ms: u64,
}

/// Begins an attempt from `network` to open `what`: an e-mail address, or a link.
///
/// # Errors
///
/// `Locked`: refuse it. `Unavailable`: retry later.
pub(crate) async fn attempt(
    catalog: &Catalog,
    what: &str,
    network: IpAddr,
    now_ms: u64,
) -> Result<Attempt, LockoutError> {
    let (what, network) = (what.to_lowercase(), network.to_string());
    let pair = key(&["pair", &what, &network]);
    let known = key(&["known", &what, &network]);
    let is_known = catalog.succeeded_at(&known).await?;
    let is_known = is_known.is_some_and(|at_ms| at_ms + KNOWN_MS > now_ms);
    let mut counters = vec![(pair.clone(), FREE_PAIR)];
    if !is_known {
        counters.push((key(&["account", &what]), FREE_ACCOUNT));
    }
    counters.push((key(&["address", &network]), FREE_ADDRESS));
    for (key, free) in &counters {
        let failures = current(catalog, key, now_ms).await?;
        refuse_if_locked(failures, *free, now_ms)?;
    }
    for (key, free) in &counters {
        count(catalog, key, *free, now_ms).await?;
    }
    Ok(Attempt {
        pair,
        known,
        now_ms,
    })
}

impl Attempt {
    /// It was the right password.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub(crate) async fn succeeded(self, catalog: &Catalog) -> Result<(), CatalogError> {
        // The other counters are about others too.
        catalog.forget_failures(&self.pair).await?;
        catalog.note_success(&self.known, self.now_ms).await
    }
}

/// Forgets what does not count any more.
///
/// # Errors
///
/// `Unavailable`.
pub(crate) async fn sweep(catalog: &Catalog, now_ms: u64) -> Result<(), CatalogError> {
    catalog
        .forget_failures_before(now_ms.saturating_sub(MEMORY_MS))
        .await?;
    catalog
        .forget_successes_before(now_ms.saturating_sub(KNOWN_MS))
        .await
}

/// Forgets attempts to open `what`, from everywhere and from the networks of these addresses.
///
/// # Errors
///
/// `Unavailable`.
pub(crate) async fn forget(
    catalog: &Catalog,
    what: &str,
    addresses: &[String],
) -> Result<(), CatalogError> {
    let what = what.to_lowercase();
    catalog.forget_failures(&key(&["account", &what])).await?;
    for address in addresses {
        let Ok(address) = address.parse() else {
            continue;
        };
        let network = network_of(address).to_string();
        for kind in ["pair", "known"] {
            let key = key(&[kind, &what, &network]);
            catalog.forget_failures(&key).await?;
        }
    }
    Ok(())
}

async fn count(catalog: &Catalog, key: &str, free: u64, now_ms: u64) -> Result<(), LockoutError> {
    loop {
        let before = catalog.failures(key).await?;
        let failures = remembered(before, now_ms);
        refuse_if_locked(failures, free, now_ms)?;
        let after = Failures {
            count: failures.count + 1,
            last_at_ms: now_ms,
        };
        if catalog.count_failure(key, before, after).await? {
            return Ok(());
        }
    }
}

async fn current(catalog: &Catalog, key: &str, now_ms: u64) -> Result<Failures, CatalogError> {
    Ok(remembered(catalog.failures(key).await?, now_ms))
}

fn remembered(failures: Failures, now_ms: u64) -> Failures {
    if failures.last_at_ms + MEMORY_MS < now_ms {
        Failures::default()
    } else {
        failures
    }
}

fn refuse_if_locked(failures: Failures, free: u64, now_ms: u64) -> Result<(), LockoutError> {
    let until_ms = failures.last_at_ms + wait_ms(failures.count, free);
    match until_ms.saturating_sub(now_ms) {
        0 => Ok(()),
        wait_ms => Err(LockoutError::Locked { wait_ms }),
    }
}

/// How long to wait after so many failures.
fn wait_ms(count: u64, free: u64) -> u64 {
    match count.checked_sub(free) {
        None => 0,
        Some(over) => WAIT_FIRST_MS
            .checked_shl(u32::try_from(over).unwrap_or(u32::MAX))
            .filter(|wait_ms| *wait_ms >= WAIT_FIRST_MS)
            .map_or(WAIT_MAX_MS, |wait_ms| wait_ms.min(WAIT_MAX_MS)),
    }
}

/// Hashed, so that the table lists nobody.
fn key(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour() {
        let waits: Vec<_> = [0, 4, 5, 6, 7, 20, 63, 64, 70, u64::MAX]
            .map(|count| wait_ms(count, 5))
            .into();
        assert_eq!(
            waits,
            [
                0, 0, 1_000, 2_000, 4_000, 900_000, 900_000, 900_000, 900_000, 900_000
            ]
        );
    }
}

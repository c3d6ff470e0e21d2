//! The server's own access tokens: JWTs (RFC 7519) with Ed25519 signatures.
//!
//! Each names the key that signed it (`kid`). The keys are read again when the audit trail tells of a change
//! (`watch.rs`), and when a token names one that is not known, so that all nodes follow rotations.
//!
//! # Not here
//!
//! Other issuers' tokens (`issuers`), and whether the account may still come in.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use jsonwebtoken::{Algorithm, Header, Validation};
use motet_catalog::{Catalog, CatalogError};
use motet_model::UserId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::keys::{Keys, KeysError, PublicKeys};

/// Who signs.
pub(super) const ISSUER: &str = "motet";
/// For whom: a token that the same key signed for something else is no access token.
const AUDIENCE: &str = "motet";
/// Longest token.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// How far the clocks of two nodes may be apart.
pub(super) const LEEWAY_MS: u64 = 60_000;
/// How often at most the keys are read again because one is not known.
const REREAD_FOR_UNKNOWN_MS: u64 = 1_000;

/// How many tokens are remembered whose signatures were verified: whoever comes back shows the same one for an hour.
const VERIFIED_MAX: usize = 10_000;

/// What valid tokens say, by their hashes: what is kept is good for nothing else.
type Verified = HashMap<[u8; 32], Claims>;

/// Signs and verifies access tokens.
pub struct Tokens {
    /// None in tests, with keys that stay.
    catalog: Option<Catalog>,
    keys: RwLock<Arc<Keys>>,
    verified: Mutex<Verified>,
    /// When a key was last looked for that is not known.
    sought_at_ms: AtomicU64,
    validation: Validation,
}

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub user_id: UserId,
    /// The name that others see.
    pub name: String,
    /// The sign-in that it came from, if from one.
    pub family: Option<String>,
    /// Which key has signed it.
    pub key_id: String,
    /// When it was signed.
    pub issued_at_ms: u64,
    /// When its time is over.
    pub expires_at_ms: u64,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is malformed, forged, another issuer's, or signed in another way.
    #[error("the token is not valid")]
    Invalid,
    /// It names a key that is not known here. Another node may have made it: [look](Tokens::seek), and try
    /// once more.
    #[error("the token's key is not known")]
    UnknownKey,
    /// It was valid once. Refresh it.
    #[error("the token has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    name: String,
    /// Tokens from before there was an audience have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    /// To the ms: whoever changes a password voids what was issued before, and not what is issued then.
    iat: f64,
    /// The sign-in that it came from: it ends with that. Those of the operator come from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    exp: u64,
}

impl Tokens {
    /// Takes the keys from the catalog. If there are none, the first is made, or those of the `folder` are
    /// taken where they were kept before.
    ///
    /// # Errors
    ///
    /// `Io`, `Catalog`.
    pub async fn open(catalog: &Catalog, folder: &Path) -> Result<Self, KeysError> {
        let keys = Keys::open(catalog, folder).await?;
        Ok(Self::new(Some(catalog.clone()), keys))
    }

    pub(super) fn new(catalog: Option<Catalog>, keys: Keys) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // The library checks the signature. The time is an argument here, and it would ask the system;
        // and it passes over claims of the wrong type.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self {
            catalog,
            keys: RwLock::new(Arc::new(keys)),
            verified: Mutex::default(),
            sought_at_ms: AtomicU64::new(0),
            validation,
        }
    }

    /// A token for `user` that is valid for `lifetime_ms` from `now_ms`, if not its sign-in `family` ends
    /// before; and when it expires.
    ///
    /// # Panics
    ///
    /// Never: the key is of the right kind.
    #[must_use]
    pub fn sign(
        &self,
        user: UserId,
        name: &str,
        family: Option<&str>,
        now_ms: u64,
        lifetime_ms: u64,
    ) -> (String, u64) {
        let expires_at_ms = now_ms.saturating_add(lifetime_ms) / 1_000 * 1_000;
        let payload = Payload {
            iss: ISSUER.to_owned(),
            sub: user.to_string(),
            name: name.to_owned(),
            aud: Some(AUDIENCE.to_owned()),
            iat: seconds(now_ms),
            sid: family.map(ToOwned::to_owned),
            nbf: None,
            exp: expires_at_ms / 1_000,
        };
        (self.sign_any(&payload, now_ms), expires_at_ms)
    }

    /// A token that says this. What it is for must be in it.
    pub(super) fn sign_any(&self, payload: &impl Serialize, now_ms: u64) -> String {
        let keys = self.keys();
        let key = keys.signing(now_ms);
        let header = Header {
            kid: Some(key.id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let token = jsonwebtoken::encode(&header, payload, &key.signing);
        token.expect("an Ed25519 key signs")
    }

    /// What the token says, if it is genuine and its time is not over.
    ///
    /// # Errors
    ///
    /// `Invalid`, `UnknownKey`, `Expired`.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let hash = Sha256::digest(token).into();
        let known = self.verified().get(&hash).cloned();
        // Its signature is good for as long as its key is; and it was issued in the past.
        if let Some(claims) = known.filter(|claims| self.knows(&claims.key_id)) {
            if claims.expires_at_ms <= now_ms {
                return Err(TokenError::Expired);
            }
            return Ok(claims);
        }
        let claims = self.verify_inner(token, now_ms);
        if let Some(Ok(claims)) = &claims {
            self.remember(hash, claims.clone(), now_ms);
        }
        claims.unwrap_or(Err(TokenError::Invalid))
    }

    fn remember(&self, hash: [u8; 32], claims: Claims, now_ms: u64) {
        let mut verified = self.verified();
        if verified.len() >= VERIFIED_MAX {
            verified.retain(|_, claims| claims.expires_at_ms > now_ms);
        }
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(hash, claims);
    }

    fn verified(&self) -> MutexGuard<'_, Verified> {
        // The map is whole after every statement, so a panic elsewhere does not spoil it.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The public keys, for whoever verifies tokens of this server.
    #[must_use]
    pub fn public_keys(&self) -> PublicKeys {
        self.keys().public()
    }

    /// What a token says that one of the keys has signed, and the key's name; `None` if it is none.
    pub(super) fn signed<T: DeserializeOwned>(
        &self,
        token: &str,
    ) -> Option<Result<(T, String), TokenError>> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        // Extensions that must be understood: none is.
        if header.crit.is_some() {
            return None;
        }
        let kid = header.kid?;
        let keys = self.keys();
        let Some(key) = keys.get(&kid) else {
            return Some(Err(TokenError::UnknownKey));
        };
        let decoded = jsonwebtoken::decode::<T>(token, &key.verifying, &self.validation);
        Some(Ok((decoded.ok()?.claims, kid)))
    }

    fn verify_inner(&self, token: &str, now_ms: u64) -> Option<Result<Claims, TokenError>> {
        let (payload, kid): (Payload, _) = match self.signed(token)? {
            Ok(signed) => signed,
            Err(error) => return Some(Err(error)),
        };
        let user_id = payload.sub.parse().ok()?;
        let ms = |seconds: u64| seconds.saturating_mul(1_000);
        let issued_at_ms = milliseconds(payload.iat);
        let starts_ms = issued_at_ms.max(payload.nbf.map_or(0, ms));
        if payload.iss != ISSUER
            || payload.aud.is_some_and(|audience| audience != AUDIENCE)
            || starts_ms > now_ms.saturating_add(LEEWAY_MS)
        {
            return None;
        }
        let expires_at_ms = ms(payload.exp);
        if expires_at_ms <= now_ms {
            return Some(Err(TokenError::Expired));
        }
        Some(Ok(Claims {
            user_id,
            name: payload.name,
            family: payload.sid,
            key_id: kid,
            issued_at_ms,
            expires_at_ms,
        }))
    }

    /// Whether tokens of this key are still taken.
    pub(super) fn knows(&self, key_id: &str) -> bool {
        self.keys().get(key_id).is_some()
    }

    /// Reads the keys again because one is not known, but not for everybody who makes up a name: at most
    /// once in a while.
    pub(super) async fn seek(&self, now_ms: u64) {
        let before_ms = self.sought_at_ms.load(Ordering::Relaxed);
        // Also when the clock was set back.
        if before_ms.abs_diff(now_ms) < REREAD_FOR_UNKNOWN_MS {
            return;
        }
        self.sought_at_ms.store(now_ms, Ordering::Relaxed);
        if let Err(error) = self.read_again().await {
            tracing::warn!(%error, "the keys cannot be read again");
        }
    }

    /// Reads the keys again.
    ///
    /// # Errors
    ///
    /// `Unavailable`: those that are known stay.
    pub(crate) async fn read_again(&self) -> Result<(), CatalogError> {
        if let Some(catalog) = &self.catalog
            && let Some(keys) = Keys::read(catalog).await?
        {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            self.verified().clear();
        }
        Ok(())
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// RFC 7519 lets a time have a fraction.
fn seconds(time_ms: u64) -> f64 {
    time_ms as f64 / 1_000.0
}

/// A time that is none counts as long ago.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and the token is our own"
)]
fn milliseconds(time_s: f64) -> u64 {
    (time_s * 1_000.0).round() as u64
}

#[cfg(test)]
mod tests;

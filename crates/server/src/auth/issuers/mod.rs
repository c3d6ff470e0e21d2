//! Tokens of others: JWTs (RFC 7519) of the issuers in the settings, checked as RFC 8725 advises.
//!
//! # Invariants
//!
//! **configured**: what a token says before its signature is checked (`iss`, `kid`, `alg`) only chooses among
//! what the settings allow. Nothing in it is ever fetched or taken as a key (`jku`, `jwk`, `x5u`, `x5c`).
//!
//! **apart**: each issuer's tokens are checked with that issuer's keys.
//!
//! # Not here
//!
//! Which account it is, and whether it may come in.

mod keys;
mod settings;

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::http::Request;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Map, Value};

pub use self::settings::{ClaimNames, IssuerSettings};
use self::{keys::KeySet, settings::KeySource};
use super::{
    cached::{Cached, FetchError},
    names::{cleaned, misleads},
    outgoing::Outgoing,
};

/// Longest token: those of others may list groups.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Longest subject (OpenID Connect Core, 2), and longest name, address and organization.
const SUBJECT_BYTES_MAX: usize = 255;
const TEXT_BYTES_MAX: usize = 500;

/// The issuers whose tokens are taken.
#[derive(Default)]
pub struct Issuers(HashMap<String, Issuer>);

struct Issuer {
    audience: String,
    keys: IssuerKeys,
    algorithms: Vec<Algorithm>,
    claims: ClaimNames,
    organization: Option<String>,
    leeway_ms: u64,
}

enum IssuerKeys {
    Fetched(Arc<Cached<KeySet>>),
    Fixed(Arc<KeySet>),
}

/// What another issuer's valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalClaims {
    /// Who signed. Subjects are each issuer's own.
    pub issuer: String,
    /// Whose it is, for ever.
    pub subject: String,
    /// The name that others see.
    pub name: Option<String>,
    /// The e-mail address, unless the issuer says that it is not verified.
    pub email: Option<String>,
    /// The organization.
    pub organization: ExternalOrganization,
    /// When it was signed, or else from when it is valid; `None` if it says neither.
    pub issued_at_ms: Option<u64>,
    /// When its time is over, the leeway included.
    pub expires_at_ms: u64,
}

/// Where somebody belongs for whom others vouch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalOrganization {
    /// Where all belong who register.
    Default,
    /// The operator's settings name it.
    Configured(String),
    /// The issuer calls it so.
    Claimed(String),
}

impl ExternalOrganization {
    /// What the settings say.
    pub(super) fn configured(name: Option<&String>) -> Self {
        name.map_or(Self::Default, |name| Self::Configured(name.clone()))
    }
}

/// Why a token of another issuer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// It is malformed, forged, of an unknown issuer or for someone else, or signed in another way.
    #[error("the token is not valid")]
    Invalid,
    /// It was valid once. Get another.
    #[error("the token has expired")]
    Expired,
    /// Its issuer's keys cannot be had, so nobody can tell. Retry later.
    #[error("the token's issuer cannot be reached")]
    Unavailable,
}

impl Issuers {
    /// Takes the issuers of the settings.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn new(settings: &[IssuerSettings], outgoing: &Outgoing) -> Result<Self, String> {
        IssuerSettings::check_all(settings)?;
        let issuer = |settings: &IssuerSettings| {
            let (source, algorithms) = settings.parts()?;
            let keys = match source {
                KeySource::Fixed(key) => IssuerKeys::Fixed(Arc::new(KeySet::of(*key))),
                KeySource::Fetched(url) => {
                    let outgoing = outgoing.clone();
                    IssuerKeys::Fetched(Cached::new(
                        format_args!("the keys of {}", settings.issuer),
                        Box::new(move || Box::pin(fetch(outgoing.clone(), url.clone()))),
                    ))
                }
            };
            let issuer = Issuer {
                audience: settings.audience.clone(),
                keys,
                algorithms,
                claims: settings.claims.clone(),
                organization: settings.organization.clone(),
                leeway_ms: settings.leeway_seconds * 1_000,
            };
            Ok((settings.issuer.clone(), issuer))
        };
        settings
            .iter()
            .map(issuer)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the token says that it is of one of these issuers, which proves nothing.
    pub fn concerns(&self, token: &str) -> bool {
        self.issuer(token).is_some()
    }

    /// What the token says, if it is genuine, for this server, and its time is not over.
    ///
    /// # Errors
    ///
    /// `Invalid`, `Expired`. `Unavailable`: the issuer's keys cannot be had.
    pub async fn verify(&self, token: &str, now_ms: u64) -> Result<ExternalClaims, IssuerError> {
        let invalid = IssuerError::Invalid;
        let (name, issuer) = self.issuer(token).ok_or(invalid)?;
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid)?;
        // Extensions that must be understood: none is.
        if header.crit.is_some() || !issuer.algorithms.contains(&header.alg) {
            return Err(invalid);
        }
        let kid = header.kid.as_deref();
        let keys = match &issuer.keys {
            IssuerKeys::Fixed(keys) => Arc::clone(keys),
            IssuerKeys::Fetched(keys) => {
                let wanted = |keys: &KeySet| keys.find(kid, header.alg).is_some();
                keys.get(now_ms, wanted)
                    .await
                    .ok_or(IssuerError::Unavailable)?
            }
        };
        let key = keys.find(kid, header.alg).ok_or(invalid)?;
        let mut validation = Validation::new(header.alg);
        // The library checks the signature. The time is an argument here, and it would ask the system;
        // and it passes over claims of the wrong type.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key.decoding, &validation);
        let claims = Value::Object(decoded.map_err(|_| invalid)?.claims);
        issuer.check(name, &claims, now_ms)
    }

    /// Whom the token names as its issuer, before anything is checked.
    fn issuer(&self, token: &str) -> Option<(&str, &Issuer)> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let payload: Value = serde_json::from_slice(&payload).ok()?;
        let (name, issuer) = self.0.get_key_value(payload.get("iss")?.as_str()?)?;
        Some((name, issuer))
    }
}

impl Issuer {
    /// Whether signed claims are for this server and now, and what they say.
    fn check(
        &self,
        name: &str,
        claims: &Value,
        now_ms: u64,
    ) -> Result<ExternalClaims, IssuerError> {
        let invalid = IssuerError::Invalid;
        let for_us = match &claims["aud"] {
            Value::String(audience) => *audience == self.audience,
            Value::Array(audiences) => audiences.iter().any(|one| *one == *self.audience),
            _ => false,
        };
        if claims["iss"] != *name || !for_us {
            return Err(invalid);
        }
        let expires_at_ms = time_ms(&claims["exp"]).ok_or(invalid)?;
        let expires_at_ms = expires_at_ms.saturating_add(self.leeway_ms);
        let since_ms = |claim: &str| match &claims[claim] {
            Value::Null => Ok(None),
            time => time_ms(time).map(Some).ok_or(invalid),
        };
        let (issued_at_ms, starts_ms) = (since_ms("iat")?, since_ms("nbf")?);
        if issued_at_ms.max(starts_ms) > Some(now_ms.saturating_add(self.leeway_ms)) {
            return Err(invalid);
        }
        if expires_at_ms <= now_ms {
            return Err(IssuerError::Expired);
        }
        let text = |name: &str| lookup(claims, name).and_then(text);
        let organization = match &self.claims.organization {
            // Without it nobody can tell where the user belongs.
            Some(claim) => ExternalOrganization::Claimed(text(claim).ok_or(invalid)?),
            None => ExternalOrganization::configured(self.organization.as_ref()),
        };
        Ok(ExternalClaims {
            issuer: name.to_owned(),
            subject: lookup(claims, &self.claims.subject)
                .and_then(subject)
                .ok_or(invalid)?,
            name: lookup(claims, &self.claims.name)
                .and_then(Value::as_str)
                .and_then(cleaned),
            email: text(&self.claims.email).filter(|_| !says_unverified(claims)),
            organization,
            issued_at_ms: issued_at_ms.or(starts_ms),
            expires_at_ms,
        })
    }
}

async fn fetch(outgoing: Outgoing, url: url::Url) -> Result<KeySet, FetchError> {
    let request = Request::get(url.as_str())
        .header("accept", "application/jwk-set+json, application/json")
        .body(Vec::new())
        .map_err(|error| FetchError::Malformed(error.to_string()))?;
    let response = outgoing.send(request, &url).await?;
    if response.status() != 200 {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    KeySet::from_json(response.body())
}

/// A NumericDate (RFC 7519, 2), which may have a fraction.
fn time_ms(value: &Value) -> Option<u64> {
    let time = match value.as_u64() {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::try_from_secs_f64(value.as_f64()?).ok()?,
    };
    Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The claim of this name, which may itself have dots (`https://example.com/name`), or lead into objects.
fn lookup<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    let inside = || {
        let mut splits = name.match_indices('.');
        splits.find_map(|(dot, _)| lookup(claims.get(&name[..dot])?, &name[dot + 1..]))
    };
    claims.get(name).or_else(inside)
}

/// Some issuers number their users.
fn subject(value: &Value) -> Option<String> {
    let subject = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return None,
    };
    let fits = (1..=SUBJECT_BYTES_MAX).contains(&subject.len());
    (fits && !subject.contains(char::is_control)).then_some(subject)
}

fn text(value: &Value) -> Option<String> {
    tidy(value.as_str()?)
}

/// An address or organization that is there, and looks like what it is.
pub(super) fn tidy(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = (1..=TEXT_BYTES_MAX).contains(&text.len());
    (fits && !text.contains(misleads)).then(|| text.to_owned())
}

fn says_unverified(claims: &Value) -> bool {
    match &claims["email_verified"] {
        Value::Null => false,
        verified => *verified != true && *verified != "true",
    }
}

#[cfg(test)]
mod tests;

//! `[[issuers]]` of the settings.

use std::{collections::HashSet, fs, path::PathBuf};

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    super::{outgoing::check_configured, tokens},
    keys::{ALGORITHMS, VerifyingKey},
};

/// Most that the clocks of an issuer and of this server may be apart.
const LEEWAY_SECONDS_MAX: u64 = 300;

/// An issuer whose tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// The claim `iss`, exactly.
    pub issuer: String,
    /// What the claim `aud` must name.
    pub audience: String,
    /// Where its public keys are, as a JWK set;
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// or a PEM file with its one public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PathBuf>,
    /// How tokens may be signed; if empty, in each way that is right for the key.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// Which claims say what.
    #[serde(default)]
    pub claims: ClaimNames,
    /// The organization of its users, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// How far its clock may be from this one.
    #[serde(default = "leeway_seconds")]
    pub leeway_seconds: u64,
}

/// Names of claims; a dot leads into an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimNames {
    /// Who it is, for ever.
    pub subject: String,
    /// The name that others see.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// The organization, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            subject: "sub".to_owned(),
            name: "name".to_owned(),
            email: "email".to_owned(),
            organization: None,
        }
    }
}

fn leeway_seconds() -> u64 {
    30
}

/// Where an issuer's keys come from.
pub(super) enum KeySource {
    Fetched(Url),
    Fixed(Box<VerifyingKey>),
}

impl IssuerSettings {
    /// Whether all issuers are as they should be.
    ///
    /// # Errors
    ///
    /// What is wrong, and with which.
    pub fn check_all(issuers: &[Self]) -> Result<(), String> {
        let mut seen = HashSet::new();
        for issuer in issuers {
            let of = |error| format!("issuer {:?}: {error}", issuer.issuer);
            issuer.parts().map_err(of)?;
            if !seen.insert(&issuer.issuer) {
                return Err(of("it is there twice".to_owned()));
            }
        }
        Ok(())
    }

    /// Its keys, and the algorithms that may be used with them.
    pub(super) fn parts(&self) -> Result<(KeySource, Vec<Algorithm>), String> {
        if self.issuer.is_empty() || self.audience.is_empty() {
            return Err("issuer and audience must not be empty".to_owned());
        }
        if self.issuer == tokens::ISSUER {
            return Err("this is what this server's own tokens say".to_owned());
        }
        if self.organization.is_some() && self.claims.organization.is_some() {
            let why = "organization is either fixed or a claim, not both";
            return Err(why.to_owned());
        }
        if self.leeway_seconds > LEEWAY_SECONDS_MAX {
            return Err(format!("leeway_seconds is at most {LEEWAY_SECONDS_MAX}"));
        }
        let algorithms = self.algorithms()?;
        let source = match (&self.jwks_url, &self.public_key) {
            (Some(url), None) => KeySource::Fetched(check_configured(url)?),
            (None, Some(path)) => {
                let of = |error: &dyn ToString| {
                    format!("public_key {}: {}", path.display(), error.to_string())
                };
                let pem = fs::read_to_string(path).map_err(|error| of(&error))?;
                let key = VerifyingKey::from_pem(&pem).map_err(|error| of(&error))?;
                if !algorithms.iter().any(|&algorithm| key.takes(algorithm)) {
                    return Err(of(&"none of the algorithms is one of this key"));
                }
                KeySource::Fixed(Box::new(key))
            }
            _ => return Err("either jwks_url or public_key must be set".to_owned()),
        };
        Ok((source, algorithms))
    }

    fn algorithms(&self) -> Result<Vec<Algorithm>, String> {
        if self.algorithms.is_empty() {
            return Ok(ALGORITHMS.to_vec());
        }
        let parse = |name: &String| {
            let known = name.parse().ok();
            known
                .filter(|algorithm| ALGORITHMS.contains(algorithm))
                .ok_or_else(|| {
                    format!("{name:?} is not one of the algorithms, which are {ALGORITHMS:?}")
                })
        };
        self.algorithms.iter().map(parse).collect()
    }
}

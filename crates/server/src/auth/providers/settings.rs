//! `[[providers]]` of the settings.

use std::{collections::HashSet, fmt, fs, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::Url;

use super::super::outgoing::check_configured;

/// Longest id of a provider, which stands in addresses.
const ID_LEN_MAX: usize = 32;

/// A provider with whom people may sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// Its name in addresses.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its issuer identifier (OpenID Connect Discovery), exactly.
    pub issuer: String,
    /// As whom this server is registered there.
    pub client_id: String,
    /// The password of that registration;
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// or a file that holds it; neither for a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for, besides `openid`.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The organization of its users, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}

fn scopes() -> Vec<String> {
    vec!["email".to_owned(), "profile".to_owned()]
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[hidden]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A message about a value of another type would show it.
        match serde_json::Value::deserialize(deserializer) {
            Ok(serde_json::Value::String(text)) => Ok(Self(text)),
            _ => Err(D::Error::custom("a secret must be a text in quotes")),
        }
    }
}

impl ProviderSettings {
    /// Whether all providers are as they should be.
    ///
    /// # Errors
    ///
    /// What is wrong, and with which.
    pub fn check_all(providers: &[Self]) -> Result<(), String> {
        let mut seen = HashSet::new();
        for provider in providers {
            let of = |error| format!("provider {:?}: {error}", provider.id);
            provider.parts().map_err(of)?;
            if !seen.insert(&provider.id) {
                return Err(of("it is there twice".to_owned()));
            }
        }
        Ok(())
    }

    /// Its issuer and the client's secret.
    pub(super) fn parts(&self) -> Result<(Url, Option<String>), String> {
        let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
        if !(1..=ID_LEN_MAX).contains(&self.id.len()) || !self.id.chars().all(plain) {
            return Err(format!(
                "id must be 1 to {ID_LEN_MAX} of a to z, 0 to 9 and -"
            ));
        }
        if self.name.trim().is_empty() || self.client_id.is_empty() {
            return Err("name and client_id must not be empty".to_owned());
        }
        let issuer = check_configured(&self.issuer)?;
        let secret = match (&self.client_secret, &self.client_secret_file) {
            (Some(_), Some(_)) => {
                let why = "client_secret or client_secret_file must be set, not both";
                return Err(why.to_owned());
            }
            (Some(Secret(secret)), None) => Some(secret.clone()),
            (None, Some(path)) => {
                let of = |error| format!("client_secret_file {}: {error}", path.display());
                let text = fs::read_to_string(path).map_err(of)?;
                Some(text.trim().to_owned())
            }
            (None, None) => None,
        };
        if secret.as_ref().is_some_and(String::is_empty) {
            return Err("the client's secret must not be empty".to_owned());
        }
        Ok((issuer, secret))
    }
}

//! Who somebody turned out to be.

use std::{fmt, str::FromStr, sync::Arc};

use motet_catalog::Kind;
use motet_model::{ApiKeyId, OrganizationId, UserId};

/// An authenticated caller: a person with a token, or a program with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The account for which it acts.
    pub user: UserId,
    /// The name that others see.
    pub name: String,
    /// The colour that it likes.
    pub color: Option<u8>,
    /// The account's organization.
    pub organization: OrganizationId,
    /// What the account is.
    pub kind: Kind,
    /// Whether the account manages its organization.
    pub administrator: bool,
    /// What it may be used for.
    pub scopes: Scopes,
    /// What it showed.
    pub credential: Credential,
}

/// What a caller showed to prove who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An access token.
    Token {
        /// The key of this server that has signed it; `None`: another issuer has.
        key_id: Option<Arc<str>>,
        /// The sign-in that it came from, if from one of this server.
        family: Option<Arc<str>>,
        /// When it was issued; `None`: it does not say.
        issued_at_ms: Option<u64>,
        /// When its time is over.
        expires_at_ms: u64,
    },
    /// A key.
    ApiKey {
        /// Which.
        id: ApiKeyId,
        /// When its time is over, if ever.
        expires_at_ms: Option<u64>,
    },
}

/// What a credential comes from, which stays the same when it is renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A sign-in, of this family.
    SignIn(Arc<str>),
    /// A key.
    ApiKey(ApiKeyId),
    /// Another issuer, or the operator: these tokens do not say more.
    Elsewhere,
}

impl Credential {
    /// What it comes from.
    #[must_use]
    pub fn source(&self) -> Source {
        match self {
            Self::ApiKey { id, .. } => Source::ApiKey(*id),
            Self::Token { family, .. } => family.clone().map_or(Source::Elsewhere, Source::SignIn),
        }
    }

    /// When its time is over, if ever.
    #[must_use]
    pub const fn expires_at_ms(&self) -> Option<u64> {
        match self {
            Self::Token { expires_at_ms, .. } => Some(*expires_at_ms),
            Self::ApiKey { expires_at_ms, .. } => *expires_at_ms,
        }
    }
}

/// What a credential may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read documents, lists and profiles.
    Read,
    /// Make and change documents.
    Write,
    /// Share and delete documents, and manage the organization, as far as the account may.
    Manage,
    /// Change the account itself: profile, keys, password.
    Account,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Manage, Self::Account];

    /// The scope as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
            Self::Account => "account",
        }
    }
}

/// A text that is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is read, write, manage or account")]
pub struct ScopeError;

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(ScopeError)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything, as a person has it who signed in.
    pub const ALL: Self = Self(0b1111);

    const fn bit(scope: Scope) -> u8 {
        1 << scope as u8
    }

    /// Whether `scope` is one of them.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(
            scopes
                .into_iter()
                .fold(0, |bits, scope| bits | Self::bit(scope)),
        )
    }
}

/// Words with a space between them, as the catalog keeps them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

impl FromStr for Scopes {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        text.split_whitespace().map(str::parse).collect()
    }
}

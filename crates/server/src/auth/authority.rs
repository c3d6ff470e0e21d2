//! Who somebody is, and what they may do with a document: the only two questions, and the only place
//! that answers them, for HTTP, every dialect of the sockets and event streams.

use std::sync::Arc;

use motet_catalog::{ApiKey, Catalog, CatalogError, Kind, Rights, Role, User};
use motet_model::{ApiKeyId, Clock, DocumentId, UserId};
use sha2::{Digest, Sha256};

use super::{
    Claims, IssuerError, Issuers, OutsiderError, TokenError, Tokens,
    principal::{Credential, Principal, Scope, Scopes},
};
use crate::entropy;

/// Every API key begins so: whoever finds one somewhere knows what it is.
const API_KEY_PREFIX: &str = "motet_";

/// What can be done with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read it, its history and who is in it.
    Read,
    /// Comment on it.
    Comment,
    /// Change its content and title.
    Edit,
    /// Say who may do what with it, by grants and links.
    Share,
    /// Put it into the trash, or delete it for good.
    Delete,
    /// Take it out of the trash, or delete it there.
    Restore,
    /// Read what was done with it. Administrators may, of what is their organization's.
    Audit,
}

impl Action {
    /// The least role that may.
    #[must_use]
    pub const fn least_role(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Comment => Role::Commenter,
            Self::Edit => Role::Editor,
            Self::Share | Self::Delete | Self::Restore | Self::Audit => Role::Owner,
        }
    }

    /// The action as the audit trail has it. The text form is permanent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Comment => "comment",
            Self::Edit => "edit",
            Self::Share => "share",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Audit => "audit",
        }
    }

    /// What a credential must be good for.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Self::Read => Scope::Read,
            Self::Comment | Self::Edit => Scope::Write,
            Self::Share | Self::Delete | Self::Restore | Self::Audit => Scope::Manage,
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The credential is malformed, forged, revoked, or the account's that may not sign in any more.
    #[error("the credential is not valid")]
    Invalid,
    /// It was valid once. Get another.
    #[error("the credential has expired")]
    Expired,
    /// It does not say when it was issued, and may be from before the account's sign-ins were ended. Get one
    /// that does.
    #[error("the token does not say when it was issued")]
    Undated,
    /// The account was disabled.
    #[error("the account is disabled")]
    Disabled,
    /// The issuer's keys cannot be had. Retry later.
    #[error("the token's issuer cannot be asked")]
    Unreachable,
    /// Retry later.
    #[error(transparent)]
    Unavailable(#[from] CatalogError),
}

/// Why somebody may not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizationError {
    /// There is no such document, as far as this caller is concerned.
    #[error("there is no such document")]
    NotFound,
    /// The caller may read it, but not do this.
    #[error("the caller's role does not allow this")]
    Forbidden {
        /// The role that would.
        needed: Role,
    },
    /// The caller's key is not good for this.
    #[error("the API key does not allow this")]
    Scope {
        /// The scope that would.
        needed: Scope,
    },
    /// Retry later.
    #[error(transparent)]
    Unavailable(CatalogError),
}

impl From<TokenError> for AuthenticationError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired => Self::Expired,
            TokenError::Invalid | TokenError::UnknownKey => Self::Invalid,
        }
    }
}

impl From<IssuerError> for AuthenticationError {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::Expired => Self::Expired,
            IssuerError::Unavailable => Self::Unreachable,
            IssuerError::Invalid => Self::Invalid,
        }
    }
}

impl From<CatalogError> for AuthorizationError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound { .. } => Self::NotFound,
            error => Self::Unavailable(error),
        }
    }
}

/// A new API key: what the catalog keeps, and what its owner is shown once.
pub struct MintedKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Of its secret, in hexadecimal.
    pub hash: String,
    /// What is sent as a bearer token.
    pub text: String,
}

/// Knows who callers are and what they may do.
#[derive(Clone)]
pub struct Authority {
    pub(super) catalog: Catalog,
    tokens: Arc<Tokens>,
    issuers: Arc<Issuers>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Authority {
    /// With the accounts and rights of `catalog`.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        tokens: Arc<Tokens>,
        issuers: Arc<Issuers>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            catalog,
            tokens,
            issuers,
            clock,
        }
    }

    /// Whose a bearer token is: an access token or an API key.
    ///
    /// The account is read each time, and with it the sign-in that a token came from, so whatever happens to
    /// them counts at once.
    ///
    /// # Errors
    ///
    /// `Invalid`, `Expired`, `Undated`, `Disabled`: refuse. `Unavailable`: retry later.
    pub async fn authenticate(&self, bearer: &str) -> Result<Principal, AuthenticationError> {
        if bearer.starts_with(API_KEY_PREFIX) {
            return self.authenticate_key(bearer).await;
        }
        if self.issuers.concerns(bearer) {
            return self.authenticate_outsider(bearer).await;
        }
        let now_ms = self.clock.now_ms();
        let mut claims = self.tokens.verify(bearer, now_ms);
        if claims == Err(TokenError::UnknownKey) {
            self.tokens.seek(now_ms).await;
            claims = self.tokens.verify(bearer, now_ms);
        }
        let Claims {
            user_id,
            family,
            key_id,
            issued_at_ms,
            expires_at_ms,
            ..
        } = claims?;
        let credential = Credential::Token {
            key_id: Some(key_id.into()),
            family: family.map(Into::into),
            issued_at_ms: Some(issued_at_ms),
            expires_at_ms,
        };
        self.admit(user_id, Scopes::ALL, credential).await
    }

    async fn authenticate_outsider(&self, token: &str) -> Result<Principal, AuthenticationError> {
        let mut claims = self.issuers.verify(token, self.clock.now_ms()).await?;
        let account = match self.account_of(&claims, "").await {
            // Who has the address here may be somebody else, and they need none.
            Err(OutsiderError::EmailTaken) => {
                claims.email = None;
                self.account_of(&claims, "").await
            }
            account => account,
        };
        let user = account.map_err(|error| match error {
            OutsiderError::Unavailable(error) => AuthenticationError::Unavailable(error),
            _ => AuthenticationError::Invalid,
        })?;
        let credential = Credential::Token {
            key_id: None,
            family: None,
            issued_at_ms: claims.issued_at_ms,
            expires_at_ms: claims.expires_at_ms,
        };
        self.admit(user.id, Scopes::ALL, credential).await
    }

    async fn authenticate_key(&self, text: &str) -> Result<Principal, AuthenticationError> {
        let (id, secret) = parse_key(text).ok_or(AuthenticationError::Invalid)?;
        let key = self.catalog.api_key(id).await?;
        let key = key.ok_or(AuthenticationError::Invalid)?;
        // Hashes of random secrets tell nothing by the time that their comparison takes.
        if key.hash != key_hash(secret) {
            return Err(AuthenticationError::Invalid);
        }
        let principal = self.admit_key(&key).await?;
        self.catalog
            .note_key_used(&key, self.clock.now_ms())
            .await?;
        Ok(principal)
    }

    async fn admit_key(&self, key: &ApiKey) -> Result<Principal, AuthenticationError> {
        let now_ms = self.clock.now_ms();
        if key.expires_at_ms.is_some_and(|end_ms| end_ms <= now_ms) {
            return Err(AuthenticationError::Expired);
        }
        let scopes = key.scopes.parse().unwrap_or_default();
        let credential = Credential::ApiKey {
            id: key.id,
            expires_at_ms: key.expires_at_ms,
        };
        self.admit(key.user, scopes, credential).await
    }

    async fn admit(
        &self,
        id: UserId,
        scopes: Scopes,
        credential: Credential,
    ) -> Result<Principal, AuthenticationError> {
        let found = match &credential {
            Credential::Token {
                family: Some(family),
                ..
            } => self.catalog.user_signed_in(id, family).await?,
            _ => self.catalog.user(id).await?.map(|user| (user, true)),
        };
        let (user, is_signed_in) = found.ok_or(AuthenticationError::Invalid)?;
        if user.kind == Kind::Erased {
            return Err(AuthenticationError::Invalid);
        }
        if user.disabled_at_ms.is_some() {
            return Err(AuthenticationError::Disabled);
        }
        if let Credential::Token { issued_at_ms, .. } = &credential
            && user.valid_from_ms > 0
        {
            let issued_at_ms = issued_at_ms.ok_or(AuthenticationError::Undated)?;
            if issued_at_ms < user.valid_from_ms {
                return Err(AuthenticationError::Invalid);
            }
        }
        if !is_signed_in {
            return Err(AuthenticationError::Invalid);
        }
        Ok(principal(user, scopes, credential))
    }

    /// Whether the caller, who was let in before, would be let in again: its account and key as they are
    /// now. The credential's own time is for the connection to watch.
    ///
    /// # Errors
    ///
    /// As [`Self::authenticate`].
    pub async fn readmit(&self, before: &Principal) -> Result<Principal, AuthenticationError> {
        match &before.credential {
            Credential::ApiKey { id, .. } => {
                let key = self.catalog.api_key(*id).await?;
                self.admit_key(&key.ok_or(AuthenticationError::Invalid)?)
                    .await
            }
            credential @ Credential::Token { key_id, .. } => {
                if key_id.as_ref().is_some_and(|id| !self.tokens.knows(id)) {
                    return Err(AuthenticationError::Invalid);
                }
                self.admit(before.user, before.scopes, credential.clone())
                    .await
            }
        }
    }

    /// What the caller may do with the document, if that includes `action`.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Forbidden`, `Scope`: refuse. `Unavailable`: retry later.
    pub async fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        document: DocumentId,
    ) -> Result<Rights, AuthorizationError> {
        let now_ms = self.clock.now_ms();
        let user = principal.user;
        let mut rights = if action == Action::Restore {
            self.catalog.rights_in_trash(user, document, now_ms).await?
        } else {
            self.catalog.rights(user, document, now_ms).await?
        };
        if action == Action::Audit && self.administers(principal, document).await? {
            // It shows what was done, not what is written.
            rights = Some(Rights {
                role: Role::Owner,
                until_ms: None,
            });
        }
        let rights = rights.ok_or(AuthorizationError::NotFound)?;
        if rights.role < action.least_role() {
            // Whoever may not know of the trash is not told of it.
            return Err(if action == Action::Restore {
                AuthorizationError::NotFound
            } else {
                AuthorizationError::Forbidden {
                    needed: action.least_role(),
                }
            });
        }
        let needed = action.scope();
        if !principal.scopes.has(needed) {
            return Err(AuthorizationError::Scope { needed });
        }
        Ok(Rights {
            role: rights.role.min(highest_role(principal.scopes)),
            ..rights
        })
    }

    async fn administers(
        &self,
        principal: &Principal,
        document: DocumentId,
    ) -> Result<bool, CatalogError> {
        Ok(principal.administrator
            && self.catalog.organization_of(document).await? == Some(principal.organization))
    }

    /// Makes up a new API key.
    #[must_use]
    pub fn mint_key(&self) -> MintedKey {
        let id = ApiKeyId::new(self.clock.now_ms(), entropy::bytes());
        let secret = entropy::token::<32>();
        MintedKey {
            id,
            hash: key_hash(&secret),
            text: format!("{API_KEY_PREFIX}{id}_{secret}"),
        }
    }
}

fn principal(user: User, scopes: Scopes, credential: Credential) -> Principal {
    Principal {
        user: user.id,
        name: user.name,
        color: user.color,
        organization: user.organization,
        kind: user.kind,
        administrator: user.administrator,
        scopes,
        credential,
    }
}

/// The most that a credential can make of any rights.
const fn highest_role(scopes: Scopes) -> Role {
    if !scopes.has(Scope::Write) {
        Role::Viewer
    } else if !scopes.has(Scope::Manage) {
        Role::Editor
    } else {
        Role::Owner
    }
}

fn parse_key(text: &str) -> Option<(ApiKeyId, &str)> {
    let (id, secret) = text.strip_prefix(API_KEY_PREFIX)?.split_once('_')?;
    Some((id.parse().ok()?, secret))
}

fn key_hash(secret: &str) -> String {
    super::hex(&Sha256::digest(secret))
}

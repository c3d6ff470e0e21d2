//! Accounts of those for whom others vouch: issuers of tokens, and sign-in providers.
//!
//! An account is made when somebody is seen for the first time, and is known by issuer and subject from then
//! on. An e-mail address proves nothing about an account that was there before, since nobody has to prove that
//! an address is theirs in order to register with it.

use motet_catalog::{Actor, CatalogError, Identity, Kind, NewUser, Organization, User};
use motet_model::{OrganizationId, UserId};

use super::{Authority, ExternalClaims, issuers::ExternalOrganization, names::cleaned};
use crate::entropy;

/// Somebody without a name.
const NAMELESS: &str = "Somebody";

/// Why somebody has no account here, whoever vouches for them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutsiderError {
    /// An account with their address is there, which may be another person's.
    #[error("an account with this e-mail address exists")]
    EmailTaken,
    /// Their account belongs to another organization than they are now said to.
    #[error("the account belongs to another organization")]
    OtherOrganization,
    /// Retry later.
    #[error(transparent)]
    Unavailable(CatalogError),
}

impl From<CatalogError> for OutsiderError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::EmailTaken => Self::EmailTaken,
            error => Self::Unavailable(error),
        }
    }
}

impl Authority {
    /// The account of whom `claims` are about; makes it if there is none.
    ///
    /// # Errors
    ///
    /// `EmailTaken`: leave the address away, or let them sign in otherwise. `OtherOrganization`: refuse.
    /// `Unavailable`: retry later.
    pub async fn account_of(
        &self,
        claims: &ExternalClaims,
        address: &str,
    ) -> Result<User, OutsiderError> {
        let actor = Actor {
            user: None,
            organization: OrganizationId::DEFAULT,
            address: address.to_owned(),
            nonce: entropy::bytes(),
            at_ms: self.clock.now_ms(),
        };
        let organization = self.organization_of(claims, &actor).await?;
        let identity = Identity {
            issuer: claims.issuer.clone(),
            subject: claims.subject.clone(),
        };
        let id = match self.catalog.user_by_identity(&identity).await? {
            Some(id) => id,
            None => {
                self.provision(claims, &identity, organization, actor)
                    .await?
            }
        };
        let user = self.catalog.user(id).await?;
        let user = user.ok_or(CatalogError::NotFound { what: "account" })?;
        let is_claimed = matches!(claims.organization, ExternalOrganization::Claimed(_));
        if is_claimed && user.organization != organization && user.kind != Kind::Erased {
            return Err(OutsiderError::OtherOrganization);
        }
        Ok(user)
    }

    async fn provision(
        &self,
        claims: &ExternalClaims,
        identity: &Identity,
        organization: OrganizationId,
        actor: Actor,
    ) -> Result<UserId, OutsiderError> {
        let mailbox = claims
            .email
            .as_deref()
            .and_then(|email| email.split('@').next());
        let mailbox = mailbox.and_then(cleaned);
        let name = claims.name.clone().or(mailbox);
        let user = NewUser {
            id: UserId::new(actor.at_ms, entropy::bytes()),
            organization,
            kind: Kind::Member,
            email: claims.email.clone(),
            name: name.unwrap_or_else(|| NAMELESS.to_owned()),
            password_hash: None,
            administrator: false,
        };
        let actor = Actor {
            user: Some(user.id),
            organization,
            ..actor
        };
        Ok(self.catalog.provision_user(&actor, identity, &user).await?)
    }

    async fn organization_of(
        &self,
        claims: &ExternalClaims,
        actor: &Actor,
    ) -> Result<OrganizationId, CatalogError> {
        let name = match &claims.organization {
            ExternalOrganization::Default => return Ok(OrganizationId::DEFAULT),
            ExternalOrganization::Configured(name) => {
                if let Some(found) = self.catalog.organization_named(name).await? {
                    return Ok(found.id);
                }
                name
            }
            ExternalOrganization::Claimed(name) => name,
        };
        let new = Organization {
            id: OrganizationId::new(actor.at_ms, entropy::bytes()),
            name: name.clone(),
        };
        let actor = Actor {
            organization: new.id,
            ..actor.clone()
        };
        self.catalog
            .organization_by_identity(&actor, &claims.issuer, &new)
            .await
    }
}

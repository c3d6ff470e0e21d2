//! Those for whom others vouch: OpenID Connect providers, and issuers of tokens.

use motet_model::{OrganizationId, UserId};
use sqlx::Row;

use crate::{
    Actor, AuditAction, Catalog, CatalogError, Entry, NewUser, Organization, parsed, sought,
    stored, users,
};

/// Who somebody is to a provider or issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The provider or issuer.
    pub issuer: String,
    /// Its own name for them, which never changes.
    pub subject: String,
}

/// A sign-in that is under way at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderAttempt {
    /// Of the state, in hexadecimal.
    pub state_hash: String,
    /// The provider's id in the settings.
    pub provider: String,
    /// Has to be in the provider's token.
    pub nonce: String,
    /// The secret of RFC 7636.
    pub pkce_verifier: String,
    /// Where the browser comes back to.
    pub redirect_uri: String,
    /// When it is too late.
    pub expires_at_ms: u64,
}

impl Catalog {
    /// The account of this identity.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn user_by_identity(
        &self,
        identity: &Identity,
    ) -> Result<Option<UserId>, CatalogError> {
        let row = sqlx::query("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
            .bind(&identity.issuer)
            .bind(&identity.subject)
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        row.map(|row| parsed(&row, "user_id")).transpose()
    }

    /// The organization that an issuer calls so; makes one, with the id of `new`, if it is the first time.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn organization_by_identity(
        &self,
        actor: &Actor,
        issuer: &str,
        new: &Organization,
    ) -> Result<OrganizationId, CatalogError> {
        let find = || {
            sqlx::query(
                "SELECT organization_id FROM organization_identities
                 WHERE issuer = $1 AND name = $2",
            )
            .bind(issuer.to_owned())
            .bind(new.name.clone())
        };
        if let Some(row) = find()
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?
        {
            return parsed(&row, "organization_id");
        }
        let mut act = self.act(actor).await?;
        // Another request may have been faster.
        act.hold_name(&format!("organization {issuer} {}", new.name))
            .await?;
        if let Some(row) = find().fetch_optional(act.connection()).await? {
            return parsed(&row, "organization_id");
        }
        sqlx::query("INSERT INTO organizations (id, name, created_at_ms) VALUES ($1, $2, $3)")
            .bind(new.id.to_string())
            .bind(&new.name)
            .bind(stored(actor.at_ms))
            .execute(act.connection())
            .await?;
        sqlx::query(
            "INSERT INTO organization_identities (issuer, name, organization_id)
             VALUES ($1, $2, $3)",
        )
        .bind(issuer)
        .bind(&new.name)
        .bind(new.id.to_string())
        .execute(act.connection())
        .await?;
        act.commit(Entry::new(AuditAction::OrganizationCreated))
            .await?;
        Ok(new.id)
    }

    /// Makes an account for an identity, or finds the one that another request made at the same time.
    ///
    /// # Errors
    ///
    /// `EmailTaken`: an account with this address exists, which this identity does not prove to be theirs.
    /// `Unavailable`.
    pub async fn provision_user(
        &self,
        actor: &Actor,
        identity: &Identity,
        user: &NewUser,
    ) -> Result<UserId, CatalogError> {
        let mut act = self.act(actor).await?;
        act.hold_name(&format!("account {} {}", identity.issuer, identity.subject))
            .await?;
        let found =
            sqlx::query("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
                .bind(&identity.issuer)
                .bind(&identity.subject)
                .fetch_optional(act.connection())
                .await?;
        if let Some(row) = found {
            return parsed(&row, "user_id");
        }
        users::insert(user, actor, act.connection()).await?;
        sqlx::query("INSERT INTO identities (issuer, subject, user_id) VALUES ($1, $2, $3)")
            .bind(&identity.issuer)
            .bind(&identity.subject)
            .bind(user.id.to_string())
            .execute(act.connection())
            .await?;
        let entry = Entry::new(AuditAction::AccountProvisioned).user(user.id);
        act.commit(entry).await?;
        Ok(user.id)
    }

    /// Remembers a sign-in that begins, and forgets those that are too late.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn begin_provider_attempt(
        &self,
        attempt: &ProviderAttempt,
        now_ms: u64,
    ) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM provider_attempts WHERE expires_at_ms <= $1")
            .bind(stored(now_ms))
            .execute(&mut *self.pool.connection().await?)
            .await?;
        sqlx::query(
            "INSERT INTO provider_attempts (state_hash, provider, nonce, pkce_verifier, redirect_uri,
                                            expires_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&attempt.state_hash)
        .bind(&attempt.provider)
        .bind(&attempt.nonce)
        .bind(&attempt.pkce_verifier)
        .bind(&attempt.redirect_uri)
        .bind(stored(attempt.expires_at_ms))
        .execute(&mut *self.pool.connection().await?)
        .await?;
        Ok(())
    }

    /// Takes the sign-in with this state: it works once.
    ///
    /// # Errors
    ///
    /// `NotFound`: unknown, used or too late. `Unavailable`.
    pub async fn take_provider_attempt(
        &self,
        provider: &str,
        state_hash: &str,
        now_ms: u64,
    ) -> Result<ProviderAttempt, CatalogError> {
        let row = sqlx::query(
            "DELETE FROM provider_attempts
             WHERE state_hash = $1 AND provider = $2 AND expires_at_ms > $3
             RETURNING nonce, pkce_verifier, redirect_uri, expires_at_ms",
        )
        .bind(state_hash)
        .bind(sought(provider))
        .bind(stored(now_ms))
        .fetch_optional(&mut *self.pool.connection().await?)
        .await?;
        let row = row.ok_or(CatalogError::NotFound { what: "sign-in" })?;
        Ok(ProviderAttempt {
            state_hash: state_hash.to_owned(),
            provider: provider.to_owned(),
            nonce: row.try_get("nonce")?,
            pkce_verifier: row.try_get("pkce_verifier")?,
            redirect_uri: row.try_get("redirect_uri")?,
            expires_at_ms: crate::time(&row, "expires_at_ms")?,
        })
    }
}

//! `/auth`: accounts and tokens.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use motet_catalog::{Actor, AuditAction, Entry, Kind, NewUser, RefreshToken, Rotation};
use motet_model::{OrganizationId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    ApiError, App,
    documents::to_the_end,
    extract::{Body, Caller, Visitor, text},
    openapi,
};
use crate::{
    auth::{
        AuthenticationError, LockoutError, Purpose, Scope, hex, lockout,
        names::{NAME_CHARS_MAX, misleads},
    },
    clock::rfc3339,
    collab::Affected,
    entropy,
    refusals::Who,
};

const EMAIL_CHARS_MAX: usize = 254;
const PASSWORD_CHARS_MIN: usize = 8;
/// Hashing costs more the longer a password is.
pub(super) const PASSWORD_CHARS_MAX: usize = 128;

#[derive(Deserialize, ToSchema)]
pub(super) struct Register {
    #[schema(max_length = 254)]
    email: String,
    #[schema(min_length = 8, max_length = 128)]
    password: String,
    /// What stands before the address's @, unless given.
    #[schema(max_length = 200)]
    name: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Login {
    email: String,
    password: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refresh {
    refresh_token: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewPassword {
    /// The one until now.
    password: String,
    new_password: String,
}

/// What a sign-in gives.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignedIn {
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    /// Sent as a bearer token, until it expires.
    token: String,
    /// Gets the next token, once.
    refresh_token: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Who the caller is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Validated {
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    email: Option<String>,
    name: String,
    color: Option<u8>,
    avatar_url: Option<String>,
    #[schema(value_type = openapi::AccountKind)]
    kind: &'static str,
    administrator: bool,
    #[schema(value_type = openapi::Id)]
    organization_id: OrganizationId,
    organization_name: String,
    #[schema(value_type = Vec<openapi::Scope>)]
    scopes: Vec<&'static str>,
    has_password: bool,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Makes an account.
#[utoipa::path(
    post,
    path = "/auth/register",
    operation_id = "register",
    tag = "auth",
    security(()),
    request_body = Register,
    responses(
        (status = 201, description = "The account is made and signed in", body = SignedIn),
        (status = 403, description = "Registration is closed", body = openapi::Error),
        (status = 409, description = "There is an account with this address", body = openapi::Error),
    )
)]
pub(super) async fn register(
    State(app): State<Arc<App>>,
    Visitor { actor, network }: Visitor,
    Body(Register {
        email,
        password,
        name,
    }): Body<Register>,
) -> Result<(StatusCode, Json<SignedIn>), ApiError> {
    if !app.registration {
        return Err(ApiError::forbidden(
            "registration is closed: ask the administrator",
        ));
    }
    let organization = OrganizationId::DEFAULT;
    let (purpose, name) = (Purpose::Registration(network), name.as_deref());
    let user = new_user(&app, purpose, organization, &email, password, name).await?;
    let actor = Actor {
        user: Some(user.id),
        ..actor
    };
    app.catalog
        .create_user(&actor, &user, AuditAction::AccountRegistered)
        .await?;
    let verified = user.password_hash.as_deref();
    let signed_in = sign_in(&app, &actor, user.id, &user.name, verified, "password").await?;
    Ok((StatusCode::CREATED, Json(signed_in)))
}

/// Signs in.
#[utoipa::path(
    post,
    path = "/auth/login",
    operation_id = "login",
    tag = "auth",
    security(()),
    request_body = Login,
    responses(
        (status = 200, description = "Signed in", body = SignedIn),
        (status = 401, description = "No such account and password", body = openapi::Error),
        (status = 403, description = "The account is disabled", body = openapi::Error),
    )
)]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    Visitor { actor, network }: Visitor,
    Body(Login { email, password }): Body<Login>,
) -> Result<Json<SignedIn>, ApiError> {
    if password.chars().count() > PASSWORD_CHARS_MAX {
        return Err(ApiError::invalid_credentials());
    }
    let email = email.trim();
    let attempt = lockout::attempt(&app.catalog, email, network, app.now_ms()).await;
    let user = app.catalog.user_by_email(email).await?;
    let attempt = match attempt {
        Ok(attempt) => attempt,
        Err(error) => {
            if matches!(error, LockoutError::Locked { .. }) {
                let (actor, entry) = failed(actor, user.as_ref(), json!({ "reason": "locked" }));
                let who = Who::Network(network);
                app.refusals.note(who, actor, entry).await?;
            }
            return Err(error.into());
        }
    };
    let expected = user.as_ref().and_then(|user| user.password_hash.clone());
    let matches = app
        .passwords
        .verify(Purpose::SignIn(network), password, expected)
        .await?;
    if !matches || !user.as_ref().is_some_and(motet_catalog::User::is_active) {
        let is_disabled = matches
            && user
                .as_ref()
                .is_some_and(|user| user.disabled_at_ms.is_some());
        let reason = if is_disabled {
            "disabled"
        } else {
            "wrong_password"
        };
        let (actor, entry) = failed(actor, user.as_ref(), json!({ "reason": reason }));
        app.auditor.note(actor, entry).await?;
        // Only who knows the password is told that it would be of no use.
        return Err(if is_disabled {
            AuthenticationError::Disabled.into()
        } else {
            ApiError::invalid_credentials()
        });
    }
    attempt.succeeded(&app.catalog).await?;
    let user = user.ok_or_else(ApiError::invalid_credentials)?;
    let actor = Actor {
        user: Some(user.id),
        organization: user.organization,
        ..actor
    };
    let verified = user.password_hash.as_deref();
    let signed_in = sign_in(&app, &actor, user.id, &user.name, verified, "password").await?;
    Ok(Json(signed_in))
}

/// Gives the caller another password, and ends all sign-ins but the one that this gives.
#[utoipa::path(
    put,
    path = "/auth/password",
    operation_id = "changePassword",
    tag = "auth",
    request_body = NewPassword,
    responses((status = 200, description = "Signed in anew", body = SignedIn), (status = 401, description = "No valid token, or not the password", body = openapi::Error))
)]
pub(super) async fn change_password(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(NewPassword {
        password,
        new_password,
    }): Body<NewPassword>,
) -> Result<Json<SignedIn>, ApiError> {
    let caller = caller.with(Scope::Account)?;
    check_password(&app, &caller, password).await?;
    check_new_password(&new_password).map_err(ApiError::invalid)?;
    let purpose = Purpose::Account(caller.user());
    let hash = app.passwords.hash(purpose, new_password).await?;
    to_the_end(async move {
        let user = caller.user();
        // The time of the change: what was issued while the passwords were hashed is void, too.
        let actor = Actor {
            at_ms: app.now_ms(),
            ..caller.actor
        };
        app.catalog.change_password(&actor, user, &hash).await?;
        app.collab.rights_changed(Affected::User(user)).await;
        let name = &caller.principal.name;
        let signed_in = sign_in(&app, &actor, user, name, Some(&hash), "password").await?;
        Ok(Json(signed_in))
    })
    .await
}

/// The caller knows the account's password, or gets the error that says otherwise.
pub(super) async fn check_password(
    app: &App,
    caller: &Caller,
    password: String,
) -> Result<(), ApiError> {
    let user = app.catalog.user(caller.user()).await?;
    let user = user.ok_or_else(ApiError::unauthenticated)?;
    let Some(expected) = user.password_hash else {
        return Err(ApiError::forbidden("this account has no password"));
    };
    let what = user.id.to_string();
    let refused = |reason: &str| {
        let entry = Entry::new(AuditAction::PasswordRefused).user(user.id);
        (
            caller.actor.clone(),
            entry.details(json!({ "reason": reason })),
        )
    };
    let attempt = lockout::attempt(&app.catalog, &what, caller.network, app.now_ms()).await;
    if matches!(attempt, Err(LockoutError::Locked { .. })) {
        let (actor, entry) = refused("locked");
        app.refusals.note(Who::User(user.id), actor, entry).await?;
    }
    let attempt = attempt?;
    let short = password.chars().count() <= PASSWORD_CHARS_MAX;
    let purpose = Purpose::Account(user.id);
    if !short
        || !app
            .passwords
            .verify(purpose, password, Some(expected))
            .await?
    {
        let (actor, entry) = refused("wrong_password");
        app.auditor.note(actor, entry).await?;
        return Err(ApiError::invalid_password());
    }
    Ok(attempt.succeeded(&app.catalog).await?)
}

/// Gets the next tokens. The refresh token is used up.
#[utoipa::path(
    post,
    path = "/auth/refresh",
    operation_id = "refresh",
    tag = "auth",
    security(()),
    request_body = Refresh,
    responses(
        (status = 200, description = "The next tokens", body = SignedIn),
        (status = 401, description = "No such refresh token any more", body = openapi::Error),
    )
)]
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Visitor { actor, .. }: Visitor,
    Body(Refresh { refresh_token }): Body<Refresh>,
) -> Result<Json<SignedIn>, ApiError> {
    // Rotated and told, or neither.
    to_the_end(async move { exchange(&app, actor, &refresh_token).await }).await
}

async fn exchange(
    app: &App,
    actor: Actor,
    refresh_token: &str,
) -> Result<Json<SignedIn>, ApiError> {
    let now_ms = app.now_ms();
    let next = entropy::token::<32>();
    let expires_at_ms = now_ms + app.refresh_token_ms;
    let rotation = app
        .catalog
        .rotate_refresh_token(&hash(refresh_token), &hash(&next), expires_at_ms, now_ms)
        .await?;
    let (user_id, family) = match rotation {
        Rotation::Rotated { user, family } => (user, family),
        Rotation::Reused(user) => {
            tracing::warn!(%user, "a refresh token was presented twice; its family has ended");
            sign_in_ended(app, actor, user, AuditAction::RefreshReused).await?;
            return Err(ApiError::unauthenticated());
        }
        Rotation::Invalid => return Err(ApiError::unauthenticated()),
    };
    let user = app.catalog.user(user_id).await?;
    let user = user.filter(motet_catalog::User::is_active);
    let user = user.ok_or_else(ApiError::unauthenticated)?;
    app.catalog.note_seen(user_id, now_ms).await?;
    let signed_in = SignedIn::new(app, user_id, &user.name, &family, next, now_ms);
    Ok(Json(signed_in))
}

/// Ends a sign-in.
#[utoipa::path(
    post,
    path = "/auth/logout",
    operation_id = "logout",
    tag = "auth",
    security(()),
    request_body = Refresh,
    responses((status = 204, description = "The refresh token is void"))
)]
pub(super) async fn logout(
    State(app): State<Arc<App>>,
    Visitor { actor, .. }: Visitor,
    Body(Refresh { refresh_token }): Body<Refresh>,
) -> Result<StatusCode, ApiError> {
    to_the_end(async move {
        let ended = app
            .catalog
            .revoke_refresh_token(&hash(&refresh_token))
            .await?;
        if let Some(user) = ended {
            sign_in_ended(&app, actor, user, AuditAction::SignedOut).await?;
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A sign-in of the account has ended: so do the live sessions that came with it, and the trail tells of it.
async fn sign_in_ended(
    app: &App,
    actor: Actor,
    user: UserId,
    action: AuditAction,
) -> Result<(), ApiError> {
    app.collab.rights_changed(Affected::User(user)).await;
    let entry = Entry::new(action).user(user);
    let actor = of(app, actor, user).await?;
    Ok(app.catalog.note(&[(actor, entry)]).await?)
}

/// Who the caller is.
#[utoipa::path(
    get,
    path = "/auth/validate",
    operation_id = "validate",
    tag = "auth",
    responses((status = 200, description = "The caller", body = Validated))
)]
pub(super) async fn validate(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Validated>, ApiError> {
    let user = app.catalog.user(caller.user()).await?;
    let user = user.ok_or_else(ApiError::unauthenticated)?;
    let organization = app.catalog.organization(user.organization).await?;
    let principal = &caller.principal;
    Ok(Json(Validated {
        user_id: user.id,
        email: user.email,
        name: user.name,
        color: user.color,
        avatar_url: user.avatar.as_deref().map(avatar_url),
        kind: user.kind.as_str(),
        administrator: user.administrator,
        organization_id: organization.id,
        organization_name: organization.name,
        scopes: principal.scopes.iter().map(Scope::as_str).collect(),
        has_password: user.password_hash.is_some(),
        expires_at: principal.credential.expires_at_ms().map(rfc3339),
    }))
}

/// A sign-in that failed. Whose account it was is noted if there is one, for its organization; not which
/// address was tried. Of strangers nobody can tell whose they are: what they try is for the operator alone.
pub(super) fn failed(
    actor: Actor,
    user: Option<&motet_catalog::User>,
    details: serde_json::Value,
) -> (Actor, Entry) {
    let organization = user.map_or(OrganizationId::NONE, |user| user.organization);
    let mut entry = Entry::new(AuditAction::SignInFailed).details(details);
    if let Some(user) = user {
        entry = entry.user(user.id);
    }
    let actor = Actor {
        organization,
        ..actor
    };
    (actor, entry)
}

/// Where a picture is found.
pub(super) fn avatar_url(id: &str) -> String {
    format!("/api/v1/avatars/{id}")
}

/// The actor, now that it is known whose account it is about.
async fn of(app: &App, actor: Actor, user: UserId) -> Result<Actor, ApiError> {
    let account = app.catalog.user(user).await?;
    Ok(Actor {
        user: Some(user),
        organization: account.map_or(actor.organization, |account| account.organization),
        ..actor
    })
}

/// Starts a family of refresh tokens. `verified`: the hash of the password by which, if by one.
pub(super) async fn sign_in(
    app: &App,
    actor: &Actor,
    user_id: UserId,
    name: &str,
    verified: Option<&str>,
    by: &str,
) -> Result<SignedIn, ApiError> {
    let now_ms = app.now_ms();
    let refresh_token = entropy::token::<32>();
    let stored = RefreshToken {
        hash: hash(&refresh_token),
        family: entropy::token::<16>(),
        user: user_id,
        expires_at_ms: now_ms + app.refresh_token_ms,
    };
    app.catalog
        .sign_in(actor, &stored, verified, json!({ "by": by }))
        .await?;
    let family = &stored.family;
    Ok(SignedIn::new(
        app,
        user_id,
        name,
        family,
        refresh_token,
        now_ms,
    ))
}

impl SignedIn {
    /// With an access token that does not outlive the refresh token.
    fn new(
        app: &App,
        user_id: UserId,
        name: &str,
        family: &str,
        refresh_token: String,
        now_ms: u64,
    ) -> Self {
        let lifetime_ms = app.access_token_ms.min(app.refresh_token_ms);
        let (token, expires_at_ms) =
            app.tokens
                .sign(user_id, name, Some(family), now_ms, lifetime_ms);
        Self {
            user_id,
            token,
            refresh_token,
            expires_at: rfc3339(expires_at_ms),
        }
    }
}

/// An account that is to be made; its password is hashed for `purpose`.
pub(super) async fn new_user(
    app: &App,
    purpose: Purpose,
    organization: OrganizationId,
    email: &str,
    password: String,
    name: Option<&str>,
) -> Result<NewUser, ApiError> {
    let account = Account::new(email, &password, name)?;
    let password_hash = app.passwords.hash(purpose, password).await?;
    Ok(account.into_user(app.now_ms(), organization, password_hash))
}

/// A valid e-mail address and name for a new account, and a password that will do.
pub(crate) struct Account {
    email: String,
    name: String,
}

impl Account {
    fn new(email: &str, password: &str, name: Option<&str>) -> Result<Self, ApiError> {
        Self::check(email, password, name).map_err(ApiError::invalid)
    }

    /// The same for the command line, which tells a person what is wrong.
    pub(crate) fn check(email: &str, password: &str, name: Option<&str>) -> Result<Self, String> {
        let email = email.trim();
        let (local, domain) = email.split_once('@').unwrap_or_default();
        let plain = |char: char| !char.is_whitespace() && !misleads(char) && !is_unseen(char);
        if local.is_empty()
            || domain.is_empty()
            || domain.contains('@')
            || email.chars().count() > EMAIL_CHARS_MAX
            || !email.chars().all(plain)
        {
            return Err("email must be an e-mail address".to_owned());
        }
        check_new_password(password)?;
        let name = match name.map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => text("name", name, NAME_CHARS_MAX).map_err(|error| error.message())?,
            None => local.chars().take(NAME_CHARS_MAX).collect(),
        };
        Ok(Self {
            email: email.to_owned(),
            name,
        })
    }

    pub(crate) fn into_user(
        self,
        now_ms: u64,
        organization: OrganizationId,
        password_hash: String,
    ) -> NewUser {
        NewUser {
            id: UserId::new(now_ms, entropy::bytes()),
            organization,
            kind: Kind::Member,
            email: Some(self.email),
            name: self.name,
            password_hash: Some(password_hash),
            administrator: false,
        }
    }
}

fn check_new_password(password: &str) -> Result<(), String> {
    if (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.chars().count()) {
        Ok(())
    } else {
        Err(format!(
            "a password must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"
        ))
    }
}

/// Format characters without a width (Unicode's category Cf): with them two addresses look the same.
fn is_unseen(char: char) -> bool {
    matches!(
        char,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// What the catalog keeps of a secret.
pub(super) fn hash(token: &str) -> String {
    hex(&Sha256::digest(token))
}

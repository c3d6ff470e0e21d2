//! `/auth`: accounts and tokens.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use motet_catalog::{RefreshToken, Rotation, User};
use motet_model::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    ApiError, App,
    extract::{Body, Caller, misleads, text},
};
use crate::{clock::rfc3339, entropy};

const EMAIL_CHARS_MAX: usize = 254;
const NAME_CHARS_MAX: usize = 200;
const PASSWORD_CHARS_MIN: usize = 8;
/// Hashing costs more the longer a password is.
const PASSWORD_CHARS_MAX: usize = 128;

#[derive(Deserialize)]
pub(super) struct Register {
    email: String,
    password: String,
    name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Login {
    email: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refresh {
    refresh_token: String,
}

/// What a sign-in gives.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignedIn {
    user_id: UserId,
    token: String,
    refresh_token: String,
    expires_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Validated {
    user_id: UserId,
    email: String,
    name: String,
    expires_at: String,
}

pub(super) async fn register(
    State(app): State<Arc<App>>,
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
    let user = new_user(&app, &email, password, name.as_deref()).await?;
    app.catalog.create_user(&user, app.now_ms()).await?;
    Ok((
        StatusCode::CREATED,
        Json(sign_in(&app, user.id, &user.name).await?),
    ))
}

pub(super) async fn login(
    State(app): State<Arc<App>>,
    Body(Login { email, password }): Body<Login>,
) -> Result<Json<SignedIn>, ApiError> {
    if password.chars().count() > PASSWORD_CHARS_MAX {
        return Err(ApiError::invalid_credentials());
    }
    let user = app.catalog.user_by_email(email.trim()).await?;
    let expected = user.as_ref().map(|user| user.password_hash.clone());
    if !app.passwords.verify(password, expected).await? {
        return Err(ApiError::invalid_credentials());
    }
    let user = user.ok_or_else(ApiError::invalid_credentials)?;
    Ok(Json(sign_in(&app, user.id, &user.name).await?))
}

pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Body(Refresh { refresh_token }): Body<Refresh>,
) -> Result<Json<SignedIn>, ApiError> {
    let now_ms = app.now_ms();
    let next = entropy::token::<32>();
    let rotation = app
        .catalog
        .rotate_refresh_token(
            &hash(&refresh_token),
            &hash(&next),
            now_ms + app.refresh_token_ms,
            now_ms,
        )
        .await?;
    let user_id = match rotation {
        Rotation::Rotated(user) => user,
        Rotation::Reused => {
            tracing::warn!("a refresh token was presented twice; its family has ended");
            return Err(ApiError::unauthenticated());
        }
        Rotation::Invalid => return Err(ApiError::unauthenticated()),
    };
    let user = app
        .catalog
        .user(user_id)
        .await?
        .ok_or_else(ApiError::unauthenticated)?;
    let (token, expires_at_ms) = app
        .tokens
        .sign(user_id, &user.name, now_ms, app.access_token_ms);
    let expires_at = rfc3339(expires_at_ms);
    Ok(Json(SignedIn {
        user_id,
        token,
        refresh_token: next,
        expires_at,
    }))
}

pub(super) async fn logout(
    State(app): State<Arc<App>>,
    Body(Refresh { refresh_token }): Body<Refresh>,
) -> Result<StatusCode, ApiError> {
    app.catalog
        .revoke_refresh_token(&hash(&refresh_token))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn validate(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
) -> Result<Json<Validated>, ApiError> {
    let user = app
        .catalog
        .user(claims.user_id)
        .await?
        .ok_or_else(ApiError::unauthenticated)?;
    let expires_at = rfc3339(claims.expires_at_ms);
    Ok(Json(Validated {
        user_id: user.id,
        email: user.email,
        name: user.name,
        expires_at,
    }))
}

/// Starts a family of refresh tokens.
async fn sign_in(app: &App, user_id: UserId, name: &str) -> Result<SignedIn, ApiError> {
    let now_ms = app.now_ms();
    let refresh_token = entropy::token::<32>();
    let stored = RefreshToken {
        hash: hash(&refresh_token),
        family: entropy::token::<16>(),
        user: user_id,
        expires_at_ms: now_ms + app.refresh_token_ms,
    };
    app.catalog.add_refresh_token(&stored).await?;
    let (token, expires_at_ms) = app.tokens.sign(user_id, name, now_ms, app.access_token_ms);
    Ok(SignedIn {
        user_id,
        token,
        refresh_token,
        expires_at: rfc3339(expires_at_ms),
    })
}

async fn new_user(
    app: &App,
    email: &str,
    password: String,
    name: Option<&str>,
) -> Result<User, ApiError> {
    let account = Account::new(email, &password, name)?;
    let password_hash = app.passwords.hash(password).await?;
    Ok(account.into_user(app.now_ms(), password_hash))
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
        if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.chars().count()) {
            return Err(format!(
                "password must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"
            ));
        }
        let name = match name.map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => text("name", name, NAME_CHARS_MAX).map_err(|error| error.message())?,
            None => local.chars().take(NAME_CHARS_MAX).collect(),
        };
        Ok(Self {
            email: email.to_owned(),
            name,
        })
    }

    pub(crate) fn into_user(self, now_ms: u64, password_hash: String) -> User {
        let id = UserId::new(now_ms, entropy::bytes());
        User {
            id,
            email: self.email,
            name: self.name,
            password_hash,
        }
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

fn hash(token: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(token)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _written = write!(hex, "{byte:02x}");
            hex
        })
}

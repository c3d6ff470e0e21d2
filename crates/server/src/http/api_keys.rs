//! `/api-keys`: keys with which programs act for an account.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use motet_catalog::{ApiKey, Kind};
use motet_model::ApiKeyId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ApiError, App,
    documents::to_the_end,
    extract::{ApiKeyPath, Body, Caller, text, time},
    openapi,
};
use crate::{
    auth::{Scope, Scopes},
    clock::rfc3339,
    collab::Affected,
};

const NAME_CHARS_MAX: usize = 100;
/// Most keys of one account.
const KEYS_MAX: u32 = 100;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NewApiKey)]
pub(super) struct WantedKey {
    name: String,
    #[schema(value_type = Vec<openapi::Scope>)]
    scopes: Vec<String>,
    /// RFC 3339.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ApiKey)]
pub(super) struct ShownKey {
    #[schema(value_type = openapi::Id)]
    api_key_id: ApiKeyId,
    name: String,
    #[schema(value_type = Vec<openapi::Scope>)]
    scopes: Vec<&'static str>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// Shown once: when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiKeys {
    api_keys: Vec<ShownKey>,
}

impl From<ApiKey> for ShownKey {
    fn from(key: ApiKey) -> Self {
        let scopes: Scopes = key.scopes.parse().unwrap_or_default();
        Self {
            api_key_id: key.id,
            name: key.name,
            scopes: scopes.iter().map(Scope::as_str).collect(),
            created_at: rfc3339(key.created_at_ms),
            expires_at: key.expires_at_ms.map(rfc3339),
            last_used_at: key.last_used_at_ms.map(rfc3339),
            key: None,
        }
    }
}

/// The caller's keys.
#[utoipa::path(
    get,
    path = "/api-keys",
    operation_id = "listApiKeys",
    tag = "api keys",
    responses((status = 200, description = "Without their secrets", body = ApiKeys))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<ApiKeys>, ApiError> {
    let caller = caller.with(Scope::Account)?;
    let keys = app.catalog.api_keys(caller.user()).await?;
    let api_keys = keys.into_iter().map(ShownKey::from).collect();
    Ok(Json(ApiKeys { api_keys }))
}

/// Makes a key with which a program acts for the caller.
#[utoipa::path(
    post,
    path = "/api-keys",
    operation_id = "createApiKey",
    tag = "api keys",
    request_body = WantedKey,
    responses((status = 201, description = "With its secret, this once", body = ShownKey))
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(wanted): Body<WantedKey>,
) -> Result<(StatusCode, Json<ShownKey>), ApiError> {
    let caller = caller.with(Scope::Account)?;
    if caller.principal.kind != Kind::Member {
        return Err(ApiError::forbidden("guests may not have API keys"));
    }
    let name = text("name", &wanted.name, NAME_CHARS_MAX)?;
    let scopes = wanted.scopes.iter().map(|scope| scope.parse::<Scope>());
    let scopes: Scopes = scopes
        .collect::<Result<_, _>>()
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    if scopes == Scopes::default() {
        return Err(ApiError::invalid("a key needs at least one scope"));
    }
    // A key must not make a stronger one.
    if let Some(missing) = scopes
        .iter()
        .find(|scope| !caller.principal.scopes.has(*scope))
    {
        return Err(ApiError::missing_scope(missing));
    }
    let expires_at_ms = match wanted.expires_at.as_deref() {
        Some(text) => Some(time("expiresAt", text, app.now_ms())?),
        None => None,
    };
    let minted = app.authority.mint_key();
    let key = ApiKey {
        id: minted.id,
        user: caller.user(),
        name,
        hash: minted.hash,
        scopes: scopes.to_string(),
        created_at_ms: caller.actor.at_ms,
        expires_at_ms,
        last_used_at_ms: None,
    };
    app.catalog
        .create_api_key(&caller.actor, &key, KEYS_MAX)
        .await?;
    let shown = ShownKey {
        key: Some(minted.text),
        ..key.into()
    };
    Ok((StatusCode::CREATED, Json(shown)))
}

/// Voids a key.
#[utoipa::path(
    delete,
    path = "/api-keys/{id}",
    operation_id = "revokeApiKey",
    tag = "api keys",
    params(ApiKeyPath),
    responses((status = 204, description = "It is void"))
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    ApiKeyPath(id): ApiKeyPath,
) -> Result<StatusCode, ApiError> {
    let caller = caller.with(Scope::Account)?;
    to_the_end(async move {
        let user = caller.user();
        app.catalog.revoke_api_key(&caller.actor, user, id).await?;
        app.collab.rights_changed(Affected::User(user)).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

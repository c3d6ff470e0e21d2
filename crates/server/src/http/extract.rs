//! What handlers take out of a request, with our errors.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use motet_model::{DocumentId, UserId};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use super::{ApiError, App};
use crate::auth::Claims;

/// Who asks: a request without a valid token does not get past this.
pub(super) struct Caller(pub(super) Claims);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let value = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|it| it.to_str().ok());
        let (scheme, token) = value
            .and_then(|it| it.split_once(' '))
            .ok_or_else(ApiError::unauthenticated)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ApiError::unauthenticated());
        }
        Ok(Self(app.tokens.verify(token.trim(), app.now_ms())?))
    }
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        declared_json(request.headers())?;
        let bytes = Bytes::from_request(request, app).await.map_err(|error| {
            match axum::response::IntoResponse::into_response(error).status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large("the body is over its limit"),
                _ => ApiError::invalid("the body could not be read"),
            }
        })?;
        // A derived struct could also be read from an array of its fields' values.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(match serde_json::from_slice::<IgnoredAny>(&bytes) {
                Ok(IgnoredAny) => ApiError::invalid("the body must be a JSON object"),
                Err(_) => ApiError::invalid_json(),
            });
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| match error.classify() {
                Category::Data => {
                    ApiError::invalid("a field is missing, given twice or of the wrong kind")
                }
                _ => ApiError::invalid_json(),
            })
    }
}

/// A body must say that it is JSON: a page from elsewhere cannot make a browser say so unasked.
pub(super) fn declared_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let declared = headers
        .get(header::CONTENT_TYPE)
        .and_then(|it| it.to_str().ok());
    let essence = declared
        .and_then(|it| it.split(';').next())
        .unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(ApiError::not_json())
    }
}

/// The document of the path. One that cannot be is one that is not there.
pub(super) struct DocumentPath(pub(super) DocumentId);

impl FromRequestParts<Arc<App>> for DocumentPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let id = path.ok().and_then(|Path(id)| id.parse().ok());
        id.map(Self).ok_or_else(|| ApiError::not_found("document"))
    }
}

/// The document and the user of the path.
pub(super) struct GrantPath(pub(super) DocumentId, pub(super) UserId);

impl FromRequestParts<Arc<App>> for GrantPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, app).await;
        let ids = path
            .ok()
            .and_then(|Path((id, user))| Some((id.parse().ok()?, user.parse().ok()?)));
        ids.map(|(id, user)| Self(id, user))
            .ok_or_else(|| ApiError::not_found("grant"))
    }
}

/// Text of a person: trimmed, of 1 to `chars_max` characters, none of which [`misleads`].
pub(super) fn text(name: &str, value: &str, chars_max: usize) -> Result<String, ApiError> {
    let value = value.trim();
    let len = value.chars().count();
    if len == 0 || len > chars_max || value.chars().any(misleads) {
        let message = format!(
            "{name} must have 1 to {chars_max} characters, and no control characters, nor such as \
             change the direction of text"
        );
        return Err(ApiError::invalid(message));
    }
    Ok(value.to_owned())
}

/// Control characters, and the overrides, embeddings and isolates that change the direction of the
/// text around them: with these a name could look like another one on the pages of others.
pub(super) fn misleads(char: char) -> bool {
    char.is_control() || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

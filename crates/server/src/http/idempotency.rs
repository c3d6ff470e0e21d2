//! `Idempotency-Key`: a POST that may have been answered is sent again, and does nothing twice.
//!
//! What was answered with success is kept for a day and answered again. A refused request has changed
//! nothing, so its key is free again, and so is that of a request that a crash has cut off, after a
//! minute.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use motet_catalog::{Answer, Turn};
use motet_model::{UserId, limits::MESSAGE_BYTES_MAX};
use sha2::{Digest, Sha256};

use super::{ApiError, App, extract::Verified};
use crate::auth::{Scopes, hex};

/// How long answers are kept.
pub(crate) const KEPT_MS: u64 = 24 * 3_600 * 1_000;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_BYTES_MAX: usize = 255;

/// Largest answer that is kept.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Whether answers of this route hold keys or tokens.
fn is_secret(path: &str) -> bool {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let parts: Vec<_> = path.split('/').skip(1).collect();
    matches!(
        parts[..],
        ["api-keys"] | ["auth", ..] | ["links", _] | ["documents", _, "links"]
    )
}

/// Lets the first request with a key through, and answers those that follow as it was answered.
pub(super) async fn once(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match tried(app, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn tried(app: Arc<App>, request: Request, next: Next) -> Result<Response, ApiError> {
    let path = request.uri().path();
    // Frames have numbers of their own.
    let counts = request.method() == Method::POST && !path.ends_with("/messages");
    let Some(key) = request.headers().get(KEY).filter(|_| counts) else {
        return Ok(next.run(request).await);
    };
    let verified = match request.extensions().get::<Verified>() {
        Some(verified) => verified.clone(),
        None => Verified::of(&app, request.headers()).await,
    };
    // Without a token there is nobody whose key it could be.
    let Ok(principal) = verified.0 else {
        return Ok(next.run(request).await);
    };
    let key = parsed(key)?;
    let is_secret = is_secret(path);
    let (request, hash) = read(request, principal.scopes).await?;
    let user = principal.user;
    let now_ms = app.now_ms();
    let since_ms = now_ms.saturating_sub(KEPT_MS);
    let turn = app
        .catalog
        .begin_answer(user, &key, &hash, since_ms, now_ms);
    match turn.await? {
        Turn::First => {
            // Also if the client does not wait: what was begun is done, and answered when it asks again.
            let running = tokio::spawn(first(app, next.run(request), user, key, is_secret));
            running.await.map_err(|error| ApiError::failed(&error))?
        }
        Turn::UnderWay => Err(ApiError::idempotency_key_in_use()),
        Turn::Another => Err(ApiError::idempotency_key_reused()),
        Turn::Answered(Answer { body: None, .. }) => Err(ApiError::idempotency_key_used()),
        Turn::Answered(Answer {
            status,
            body: Some(body),
        }) => Ok(replay(status, body)),
    }
}

fn parsed(key: &HeaderValue) -> Result<String, ApiError> {
    let key = key.to_str().ok().filter(|key| {
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    key.map(ToOwned::to_owned).ok_or_else(|| {
        let message = "Idempotency-Key must have 1 to 255 visible characters of ASCII";
        ApiError::invalid(message)
    })
}

/// The request, and what tells it from others. A weaker key of the same user does not get what a stronger
/// one was answered.
async fn read(request: Request, scopes: Scopes) -> Result<(Request, String), ApiError> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MESSAGE_BYTES_MAX).await;
    let body: Bytes = body.map_err(|_| ApiError::too_large("the body is over its limit"))?;
    let mut hash = Sha256::new();
    hash.update(parts.method.as_str());
    hash.update([0]);
    hash.update(parts.uri.to_string());
    hash.update([0]);
    for scope in scopes.iter() {
        hash.update(scope.as_str());
        hash.update([b' ']);
    }
    hash.update([0]);
    hash.update(&body);
    let hash = hex(&hash.finalize());
    Ok((Request::from_parts(parts, Body::from(body)), hash))
}

/// Answers the first request, and keeps what was answered.
async fn first(
    app: Arc<App>,
    running: impl Future<Output = Response> + Send,
    user: UserId,
    key: String,
    is_secret: bool,
) -> Result<Response, ApiError> {
    let response = running.await;
    if !response.status().is_success() {
        app.catalog.forget_answer(user, &key).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX).await;
    let body = body.map_err(|error| ApiError::failed(&error))?;
    let text = String::from_utf8(body.to_vec()).ok();
    let answer = Answer {
        status: parts.status.as_u16(),
        body: text.filter(|_| !is_secret),
    };
    app.catalog.keep_answer(user, &key, &answer).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let replayed = [(REPLAYED, "true")];
    if body.is_empty() {
        return (status, replayed).into_response();
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, replayed, json, body).into_response()
}

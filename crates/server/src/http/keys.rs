//! The public keys of access tokens, for whoever verifies them.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::App;

/// May be kept for half of the time that `motet keys rotate` leaves before a key signs.
const CACHE_CONTROL: &str = "public, max-age=300";

/// The keys, as a JWK set.
#[utoipa::path(
    get,
    path = "/auth/jwks",
    operation_id = "getKeys",
    tag = "auth",
    security(()),
    responses((status = 200, description = "A JWK set", body = Object))
)]
pub(super) async fn show(State(app): State<Arc<App>>) -> Response {
    let keys = Json(app.tokens.public_keys());
    ([(header::CACHE_CONTROL, CACHE_CONTROL)], keys).into_response()
}

/// The same, where many look for it.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "getWellKnownKeys",
    tag = "auth",
    security(()),
    responses((status = 200, description = "A JWK set", body = Object))
)]
pub(super) async fn show_where_known(app: State<Arc<App>>) -> Response {
    show(app).await
}

//! For whoever watches over the process: whether it lives, and whether to send it clients.

use std::sync::{Arc, atomic::Ordering};

use axum::{extract::State, http::StatusCode};

use super::App;

/// 200 while the process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "alive",
    tag = "probes",
    security(()),
    responses((status = 200, description = "It lives", body = String, content_type = "text/plain"))
)]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// 200 while the server takes connections.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "ready",
    tag = "probes",
    security(()),
    responses(
        (status = 200, description = "It does", body = String, content_type = "text/plain"),
        (status = 503, description = "It drains", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.draining.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

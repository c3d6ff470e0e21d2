//! The REST API and the web application, as docs/protocol.md says.

mod accounts;
mod documents;
mod error;
mod extract;
mod live;
mod web;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware,
    routing::{delete, get, patch, post},
};
use motet_catalog::Catalog;
use motet_model::{Clock, limits};
use tower_http::set_header::SetResponseHeaderLayer;

pub(crate) use self::accounts::Account;
use self::error::ApiError;
use crate::{
    auth::{Passwords, Tokens},
    collab::Collab,
};

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What the web application may load, and from where: from here only. Its component library writes
/// inline styles.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: https:; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// What every request may need.
pub(crate) struct App {
    pub(crate) catalog: Catalog,
    pub(crate) collab: Arc<Collab>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) passwords: Passwords,
    pub(crate) registration: bool,
    pub(crate) access_token_ms: u64,
    pub(crate) refresh_token_ms: u64,
    pub(crate) draining: AtomicBool,
}

impl App {
    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

/// Everything that the server answers.
pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/auth/register", post(accounts::register))
        .route("/auth/login", post(accounts::login))
        .route("/auth/refresh", post(accounts::refresh))
        .route("/auth/logout", post(accounts::logout))
        .route("/auth/validate", get(accounts::validate))
        .route("/documents", get(documents::list).post(documents::create))
        .route(
            "/documents/{id}",
            get(documents::show)
                .patch(documents::rename)
                .delete(documents::delete),
        )
        .route(
            "/documents/{id}/grants",
            get(documents::grants).post(documents::grant),
        )
        .route("/documents/{id}/grants/{user}", delete(documents::revoke))
        .route(
            "/documents/{id}/edit",
            patch(documents::edit).layer(DefaultBodyLimit::max(limits::MESSAGE_BYTES_MAX)),
        )
        .route("/documents/{id}/events", get(live::events))
        .route("/documents/{id}/messages", post(live::messages))
        .fallback(async || ApiError::not_found("endpoint"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let collab = app.collab.router();
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(app)
        .merge(collab)
        .fallback(web::serve)
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(middleware::from_fn(error::finish))
        .layer(header(
            header::CONTENT_SECURITY_POLICY,
            CONTENT_SECURITY_POLICY,
        ))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
}

async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.draining.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

//! Live documents over plain HTTP, where WebSockets are blocked: the event stream of a connection,
//! and the requests that bring its frames.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use axum::{
    body::{Bytes, HttpBody, to_bytes},
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tokio::time::timeout;
use tungstenite::Utf8Bytes;
use utoipa::IntoParams;

use super::{
    ApiError, App, Remote,
    extract::{Caller, DocumentPath, declared_json},
    openapi,
};
use crate::{
    auth::Scope,
    collab::{Parameters, Refusal, Uplink, node_of},
    nodes::is_forwarded,
};

/// How long a frame may take to arrive: a request that hangs must not hold the space of another.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// Proxies neither keep nor change nor gather what must arrive as it is said.
const UNBUFFERED: [(HeaderName, &str); 2] = [
    (header::CACHE_CONTROL, "no-store, no-transform"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// Opens a connection. What is wrong with it is told in the stream: browsers do not let an
/// `EventSource` see the answer's status.
#[utoipa::path(
    get,
    path = "/documents/{id}/events",
    operation_id = "listen",
    tag = "live",
    params(DocumentPath, Parameters),
    responses(
        (status = 200, description = "The frames of the server, and what is wrong", body = String,
         content_type = "text/event-stream"),
    )
)]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Path(document): Path<String>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    remote: Remote,
) -> Result<impl IntoResponse, ApiError> {
    let Query(parameters) =
        parameters.map_err(|_| ApiError::invalid("each parameter may be given once"))?;
    let events = app
        .collab
        .event_stream(&document, &parameters, &headers, &remote);
    Ok((UNBUFFERED, events.await.ok_or_else(ApiError::unavailable)?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Place {
    /// As the stream has named it.
    connection: String,
    /// Counts from 1.
    #[param(value_type = u64, minimum = 1)]
    frame: NonZeroU64,
}

/// Takes a frame of a connection. It is answered in the stream.
#[utoipa::path(
    post,
    path = "/documents/{id}/messages",
    operation_id = "say",
    tag = "live",
    params(DocumentPath, Place),
    request_body = Object,
    responses(
        (status = 204, description = "It was taken, and is answered in the stream"),
        (status = 410, description = "The connection has ended", body = openapi::Error),
    )
)]
pub(super) async fn messages(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(document): DocumentPath,
    place: Result<Query<Place>, QueryRejection>,
    remote: Remote,
    request: Request,
) -> Result<Response, ApiError> {
    let Query(Place { connection, frame }) = place.map_err(|_| {
        ApiError::invalid("connection and frame must be given, and frame counts from 1")
    })?;
    declared_json(request.headers())?;
    // What else the frame's messages need is asked of the session, which has this credential's scopes.
    let caller = caller.with(Scope::Read)?;
    if let Some(node) = node_of(&connection).filter(|node| *node != app.nodes.id())
        && !is_forwarded(request.headers())
    {
        return Ok(app.nodes.forward(node, request, &remote).await?);
    }
    let uplink = app
        .collab
        .uplink(&connection, document, &caller.principal)
        .ok_or(Refusal::Gone)?;
    let declared = request.body().size_hint().exact();
    let declared = declared.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let space = uplink.reserve(declared)?;
    let text = read(&uplink, request, space.size_bytes).await?;
    uplink.take(frame, text, space)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn read(uplink: &Uplink, request: Request, limit: usize) -> Result<Utf8Bytes, ApiError> {
    let unreadable = || ApiError::invalid("the body could not be read");
    let bytes: Bytes = timeout(FRAME_TIMEOUT, to_bytes(request.into_body(), limit))
        .await
        .map_err(|_| unreadable())?
        .map_err(|error| {
            if is_over_limit(&error) {
                uplink.too_large().into()
            } else {
                unreadable()
            }
        })?;
    Utf8Bytes::try_from(bytes).map_err(|_| ApiError::invalid_json())
}

fn is_over_limit(error: &axum::Error) -> bool {
    std::error::Error::source(error)
        .is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>())
}

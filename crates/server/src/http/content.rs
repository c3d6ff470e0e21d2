//! `/documents/{id}`: reading and editing what is written, and its history.

use std::{
    collections::{HashMap, hash_map},
    sync::Arc,
};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use motet_catalog::{AuditAction, Entry};
use motet_document::Reject;
use motet_model::{DocumentId, Revision, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiError, App,
    documents::{Shown, page_limit},
    extract::{Body, Caller, DocumentPath},
    openapi,
    tags::{Conditions, IfMatch, IfNoneMatch, tag},
};
use crate::{auth::Action, clock::rfc3339, collab::EditError};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Whether the text is wanted as well.
    #[serde(default = "yes")]
    #[param(required = false, default = true)]
    content: bool,
}

const fn yes() -> bool {
    true
}

/// An edit on a text that the caller has read.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edit {
    #[schema(value_type = openapi::Delta)]
    changes: Box<RawValue>,
    /// The revision that it was made on.
    #[schema(value_type = u64)]
    client_version: Revision,
    /// Only if `client_version` is the head.
    #[serde(default)]
    strict: bool,
}

/// What became of an edit.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edited {
    #[schema(value_type = u64)]
    new_version: Revision,
    conflicts: Vec<Conflict>,
}

/// A change that somebody else made at the same place in the meantime.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Conflict {
    #[schema(value_type = u64)]
    revision: Revision,
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    #[schema(value_type = openapi::Delta)]
    operation: Box<RawValue>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// Changes after this revision.
    #[serde(default)]
    #[param(required = false, default = 0)]
    after: u64,
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
}

/// A change as it was committed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Change)]
pub(super) struct ShownChange {
    #[schema(value_type = u64)]
    revision: Revision,
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    /// Unless the account is gone.
    user_name: Option<String>,
    #[schema(format = DateTime)]
    at: String,
    #[schema(value_type = openapi::Delta)]
    operation: Box<RawValue>,
}

/// A part of a document's history.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changes {
    changes: Vec<ShownChange>,
    /// What to ask for as `after`, if there is more.
    next_cursor: Option<String>,
}

/// A document and its content.
#[utoipa::path(
    get,
    path = "/documents/{id}",
    operation_id = "getDocument",
    tag = "documents",
    params(DocumentPath, Wanted, IfNoneMatch),
    responses(
        (status = 200, description = "With revision, and content if wanted", body = Shown,
         headers(("etag" = String, description = "Changes with whatever a person can change"))),
        (status = 304, description = "As If-None-Match says"),
    )
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
    wanted: Result<Query<Wanted>, QueryRejection>,
    conditions: Conditions,
) -> Result<Response, ApiError> {
    app.may(&caller, Action::Read, id).await?;
    let Query(Wanted { content }) =
        wanted.map_err(|_| ApiError::invalid("content must be true or false"))?;
    let document = app.catalog.document(caller.user(), id, app.now_ms());
    let document = document.await?;
    let head = app.collab.head(id).await?;
    let known = tag(&document, head);
    if conditions.is_known(&known) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, known)]).into_response());
    }
    if !content {
        let shown = Shown::from(document).at(head);
        return Ok(([(header::ETAG, known)], Json(shown)).into_response());
    }
    let snapshot = app.collab.snapshot(id, head).await?;
    note_read(&app, &caller, id, snapshot.revision).await?;
    let tag = tag(&document, snapshot.revision);
    let content = raw(&snapshot.content)?;
    let shown = Shown::from(document).at(snapshot.revision).with(content);
    Ok(([(header::ETAG, tag)], Json(shown)).into_response())
}

/// The changes of a document, as its log has them.
#[utoipa::path(
    get,
    path = "/documents/{id}/changes",
    operation_id = "listChanges",
    tag = "documents",
    params(DocumentPath, Span),
    responses((status = 200, description = "The earliest first", body = Changes))
)]
pub(super) async fn changes(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
    span: Result<Query<Span>, QueryRejection>,
) -> Result<Json<Changes>, ApiError> {
    app.may(&caller, Action::Read, id).await?;
    let Query(Span { after, limit }) =
        span.map_err(|_| ApiError::invalid("after and limit must be whole numbers"))?;
    let limit = page_limit(limit)?;
    // No log is longer than a signed number counts.
    let after = Revision::new(after.min(u64::MAX >> 1));
    let page = app.collab.changes(id, after, limit as usize).await?;
    note_read(&app, &caller, id, after.plus(page.changes.len() as u64)).await?;
    let mut names = HashMap::new();
    for change in &page.changes {
        if let hash_map::Entry::Vacant(name) = names.entry(change.author) {
            let account = app.catalog.user(change.author).await?;
            name.insert(account.map(|account| account.name));
        }
    }
    let mut revision = after;
    let mut shown = Vec::with_capacity(page.changes.len());
    for change in page.changes {
        revision = revision.next();
        shown.push(ShownChange {
            revision,
            user_id: change.author,
            user_name: names.get(&change.author).cloned().flatten(),
            at: rfc3339(change.time_ms),
            operation: raw(&change.delta)?,
        });
    }
    Ok(Json(Changes {
        changes: shown,
        next_cursor: page.more.then(|| revision.to_string()),
    }))
}

async fn note_read(
    app: &App,
    caller: &Caller,
    id: DocumentId,
    revision: Revision,
) -> Result<(), ApiError> {
    let read = Entry::new(AuditAction::DocumentRead).document(id);
    let read = read.details(json!({ "revision": revision }));
    Ok(app.auditor.note(caller.actor.clone(), read).await?)
}

/// JSON that the server has written.
fn raw(json: &[u8]) -> Result<Box<RawValue>, ApiError> {
    serde_json::from_slice(json).map_err(|error| ApiError::failed(&error))
}

/// The same way as a submission over a socket: it is moved over what was committed meanwhile, or merged.
#[utoipa::path(
    patch,
    path = "/documents/{id}/edit",
    operation_id = "editDocument",
    tag = "documents",
    params(DocumentPath, IfMatch),
    request_body = Edit,
    responses(
        (status = 200, description = "It is stored, or changes nothing", body = Edited),
        (status = 409, description = "Strict, and the document has changed", body = openapi::Error),
        (status = 412, description = "If-Match does not hold", body = openapi::Error),
    )
)]
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
    conditions: Conditions,
    Body(Edit {
        changes,
        client_version,
        strict,
    }): Body<Edit>,
) -> Result<Json<Edited>, ApiError> {
    app.may(&caller, Action::Edit, id).await?;
    let operation = motet_ot::decode(changes.get().as_bytes())
        .map_err(|error| ApiError::invalid(format!("changes: {error}")))?;
    // Until the edit is made: of a rename and an edit with the same tag one is refused.
    let _turn = match conditions.are_given() {
        true => Some(app.turns.take(id).await?),
        false => None,
    };
    if conditions.are_given() {
        let document = app.catalog.document(caller.user(), id, app.now_ms());
        conditions.hold(&tag(&document.await?, app.collab.head(id).await?))?;
    }
    let place = app.auditor.place().await?;
    // What held a moment ago holds when the edit is made only if nobody was faster.
    let strict_now = strict || conditions.are_given();
    let edited = app
        .collab
        .edit(&caller.principal, id, client_version, operation, strict_now)
        .await;
    let edited = match edited {
        Err(EditError::Rejected(Reject::Outdated { .. })) if conditions.are_given() => {
            return Err(ApiError::precondition_failed());
        }
        edited => edited?,
    };
    if edited.is_stored {
        let entry = Entry::new(AuditAction::DocumentEdited).document(id);
        let entry = entry.details(json!({ "revision": edited.revision }));
        app.auditor.stored(place, caller.actor, entry).await;
    }
    let conflicts = edited.overlapping.into_iter().filter_map(|change| {
        Some(Conflict {
            revision: change.revision,
            user_id: change.author,
            operation: serde_json::from_slice(&change.delta).ok()?,
        })
    });
    Ok(Json(Edited {
        new_version: edited.revision,
        conflicts: conflicts.collect(),
    }))
}

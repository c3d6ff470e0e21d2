//! `/presence`: where somebody is now.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::HeaderMap};
use motet_catalog::Kind;
use motet_model::{DocumentId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ApiError, App, Remote,
    extract::{Caller, UserPath},
    openapi,
    users::in_organization,
};
use crate::{auth::Scope, clock::rfc3339, nodes::is_forwarded};

/// Where somebody is, as far as the caller may know.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Presence {
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    online: bool,
    documents: Vec<PresentIn>,
}

#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PresentIn {
    #[schema(value_type = openapi::Id)]
    document_id: DocumentId,
    title: String,
    /// Since when, by the earliest of their sessions.
    #[schema(format = DateTime)]
    since: String,
}

/// Somebody is online to those who share a document with them in which they are.
#[utoipa::path(
    get,
    path = "/presence/{id}",
    operation_id = "getPresence",
    tag = "users",
    params(UserPath),
    responses((status = 200, description = "In documents that the caller may read", body = Presence))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    UserPath(id): UserPath,
    headers: HeaderMap,
    remote: Remote,
) -> Result<Json<Presence>, ApiError> {
    let caller = caller.with(Scope::Read)?;
    in_organization(&app, &caller, id).await?;
    // As of profiles: a guest knows those whom it meets in its documents.
    if caller.principal.kind == Kind::Guest && id != caller.user() {
        return Err(ApiError::not_found("account"));
    }
    let mut since = BTreeMap::new();
    for session in app
        .collab
        .live_sessions(|session| session.principal.user == id)
    {
        let first = since.entry(session.document).or_insert(session.since_ms);
        *first = session.since_ms.min(*first);
    }
    let mut documents = Vec::new();
    for (document, since_ms) in since {
        let seen = app.catalog.document(caller.user(), document, app.now_ms());
        if let Some(document) = found(seen.await)? {
            documents.push(PresentIn {
                document_id: document.id,
                title: document.title,
                since: rfc3339(since_ms),
            });
        }
    }
    if !is_forwarded(&headers) {
        let path = format!("/api/v1/presence/{id}");
        let elsewhere = app.nodes.ask::<Presence>(&path, &headers, &remote).await;
        for present in elsewhere.into_iter().flat_map(|it| it.documents) {
            let same = documents
                .iter_mut()
                .find(|known| known.document_id == present.document_id);
            match same {
                // In RFC 3339 with one length, the order of times is that of their texts.
                Some(known) if present.since < known.since => known.since = present.since,
                Some(_) => {}
                None => documents.push(present),
            }
        }
        documents.sort_by_key(|document| document.document_id);
    }
    Ok(Json(Presence {
        user_id: id,
        online: !documents.is_empty(),
        documents,
    }))
}

fn found<T>(result: Result<T, motet_catalog::CatalogError>) -> Result<Option<T>, ApiError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(motet_catalog::CatalogError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

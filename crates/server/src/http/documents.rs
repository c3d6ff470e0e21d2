//! `/documents`: the catalog of documents and who may do what with them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use motet_catalog::{
    AuditAction, Cursor, Document, DocumentFilter, Entry, Hit, HitCursor, Kind, NewDocument, Piece,
    Role,
};
use motet_model::{DocumentId, Revision, UserId};
use motet_ot::{Decoded, Operation};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiError, App,
    extract::{Body, Caller, DocumentPath, given, text},
    grants::given_role,
    openapi,
    tags::{Conditions, IfMatch, tag},
};
use crate::{
    auth::{Action, AuthorizationError, Scope},
    clock::{DAY_MS, rfc3339},
    collab::Affected,
    entropy,
};

const TITLE_CHARS_MAX: usize = 200;
const QUERY_CHARS_MAX: usize = 200;
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 100;

#[derive(Deserialize, ToSchema)]
#[schema(as = NewDocument)]
pub(super) struct WantedDocument {
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// What is written in it from the beginning: insertions only.
    #[schema(value_type = Option<openapi::Delta>)]
    content: Option<Box<RawValue>>,
}

/// What is to be changed; the rest stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DocumentChange {
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    /// What everyone in the organization may do; `null`: nothing. For the owner to say.
    #[schema(value_type = Option<openapi::GivenRole>)]
    #[serde(default, deserialize_with = "given")]
    organization_role: Option<Option<String>>,
}

/// A document as the caller sees it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Document)]
pub(super) struct Shown {
    #[schema(value_type = openapi::Id)]
    document_id: DocumentId,
    title: String,
    #[schema(value_type = openapi::Role)]
    role: &'static str,
    #[schema(value_type = openapi::Id)]
    owner_id: UserId,
    owner_name: String,
    /// What everyone in the organization may do.
    #[schema(value_type = Option<openapi::GivenRole>)]
    organization_role: Option<&'static str>,
    #[schema(format = DateTime)]
    created_at: String,
    /// May lag by some seconds.
    #[schema(format = DateTime)]
    updated_at: String,
    /// When it was put into the trash.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    revision: Option<Revision>,
    #[schema(value_type = Option<openapi::Delta>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Box<RawValue>>,
    /// In answers to a search: where in the content it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    snippet: Option<Vec<ShownPiece>>,
}

/// A part of a snippet.
#[derive(Serialize, ToSchema)]
#[schema(as = SnippetPiece)]
pub(super) struct ShownPiece {
    text: String,
    /// Whether it is what was looked for.
    #[serde(rename = "match")]
    is_match: bool,
}

impl From<Piece> for ShownPiece {
    fn from(Piece { text, is_match }: Piece) -> Self {
        Self { text, is_match }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    #[param(value_type = Option<openapi::DocumentFilter>)]
    filter: Option<String>,
    /// Words that are all in title or content, the last one perhaps only begun.
    #[param(max_length = 200)]
    q: Option<String>,
}

/// A page of a list of documents.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Documents)]
pub(super) struct Listed {
    documents: Vec<Shown>,
    /// Gets the next page, if there is one.
    next_cursor: Option<String>,
    /// In a list of the trash: after how many days there documents are deleted for good; `null`: never.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    trash_days: Option<Option<u64>>,
}

impl Shown {
    pub(super) fn at(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    pub(super) fn with(mut self, content: Box<RawValue>) -> Self {
        self.content = Some(content);
        self
    }
}

impl From<Document> for Shown {
    fn from(document: Document) -> Self {
        Self {
            document_id: document.id,
            title: document.title,
            role: document.role.as_str(),
            owner_id: document.owner,
            owner_name: document.owner_name,
            created_at: rfc3339(document.created_at_ms),
            organization_role: document.organization_role.map(Role::as_str),
            updated_at: rfc3339(document.updated_at_ms),
            deleted_at: document.deleted_at_ms.map(rfc3339),
            revision: None,
            content: None,
            snippet: None,
        }
    }
}

/// Makes a document, which is the caller's.
#[utoipa::path(
    post,
    path = "/documents",
    operation_id = "createDocument",
    tag = "documents",
    request_body = WantedDocument,
    responses((status = 201, description = "The document", body = Shown))
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(WantedDocument { title, content }): Body<WantedDocument>,
) -> Result<(StatusCode, Json<Shown>), ApiError> {
    let caller = caller.with(Scope::Write)?;
    if caller.principal.kind != Kind::Member {
        return Err(ApiError::forbidden("guests may not make documents"));
    }
    let title = text("title", &title, TITLE_CHARS_MAX)?;
    let content = content.as_deref().map(first_content).transpose()?.flatten();
    let id = DocumentId::new(app.now_ms(), entropy::bytes());
    let owner = caller.user();
    let most = app.documents_per_user_max;
    if most > 0 && app.catalog.count_documents(owner).await? >= most {
        return Err(ApiError::too_many_documents());
    }
    to_the_end(async move {
        let document = NewDocument { id, title, owner };
        app.catalog
            .create_document(&caller.actor, &document)
            .await?;
        if let Some(content) = content {
            let place = app.auditor.place().await?;
            let collab = &app.collab;
            let written = collab.edit(&caller.principal, id, Revision::ZERO, content, true);
            if let Err(error) = written.await {
                // All or nothing: what was refused leaves no empty document.
                app.collab.delete(&caller.actor, id).await?;
                return Err(error.into());
            }
            let entry = Entry::new(AuditAction::DocumentEdited).document(id);
            let entry = entry.details(json!({ "revision": 1 }));
            app.auditor.stored(place, caller.actor.clone(), entry).await;
        }
        let document = app.catalog.document(owner, id, app.now_ms()).await?;
        Ok((StatusCode::CREATED, Json(document.into())))
    })
    .await
}

/// `None` of nothing.
fn first_content(json: &RawValue) -> Result<Option<Decoded>, ApiError> {
    let decoded = motet_ot::decode(json.get().as_bytes())
        .map_err(|error| ApiError::invalid(format!("content: {error}")))?;
    let inserts = |operation: &Operation| matches!(operation, Operation::Insert { .. });
    if !decoded.delta.ops().iter().all(inserts) || decoded.extent_utf16 > 0 {
        return Err(ApiError::invalid("content must be insertions only"));
    }
    Ok(Some(decoded).filter(|decoded| !decoded.delta.ops().is_empty()))
}

/// The documents that the caller may see.
#[utoipa::path(
    get,
    path = "/documents",
    operation_id = "listDocuments",
    tag = "documents",
    params(Page),
    responses((status = 200, description = "The latest change first", body = Listed))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Listed>, ApiError> {
    let caller = caller.with(Scope::Read)?;
    let Query(Page {
        limit,
        cursor,
        filter,
        q,
    }) = page.map_err(|_| {
        ApiError::invalid("limit must be a whole number, and each parameter given once")
    })?;
    let limit = page_limit(limit)?;
    let filter = match filter.as_deref() {
        None | Some("all") => DocumentFilter::All,
        Some("owned") => DocumentFilter::Owned,
        Some("shared") => DocumentFilter::Shared,
        Some("trash") => DocumentFilter::Trash,
        Some(_) => {
            return Err(ApiError::invalid(
                "filter must be all, owned, shared or trash",
            ));
        }
    };
    if let Some(q) = q.filter(|q| !q.trim().is_empty()) {
        return search(&app, &caller, &q, filter, limit, cursor.as_deref()).await;
    }
    let cursor = cursor.as_deref().map(parse_cursor).transpose()?;
    // One more than asked for tells whether there are more.
    let mut documents = app
        .catalog
        .documents(caller.user(), filter, limit + 1, cursor, app.now_ms())
        .await?;
    let more = documents.len() > limit as usize;
    documents.truncate(limit as usize);
    let last = documents.last().filter(|_| more);
    let next_cursor = last.map(|last| format!("{}_{}", last.updated_at_ms, last.id));
    Ok(Json(Listed {
        documents: documents.into_iter().map(Shown::from).collect(),
        next_cursor,
        trash_days: trash_days(&app, filter),
    }))
}

async fn search(
    app: &App,
    caller: &Caller,
    q: &str,
    filter: DocumentFilter,
    limit: u32,
    cursor: Option<&str>,
) -> Result<Json<Listed>, ApiError> {
    if q.chars().count() > QUERY_CHARS_MAX {
        let message = format!("q must have at most {QUERY_CHARS_MAX} characters");
        return Err(ApiError::invalid(message));
    }
    let cursor = cursor.map(parse_hit_cursor).transpose()?;
    let (user, now_ms) = (caller.user(), app.now_ms());
    let hits = app
        .catalog
        .search(user, q, filter, limit + 1, cursor, now_ms);
    let mut hits = hits.await?;
    let more = hits.len() > limit as usize;
    hits.truncate(limit as usize);
    let last = hits.last().filter(|_| more);
    let next_cursor = last.map(|Hit { place, .. }| {
        let in_title = u8::from(place.in_title);
        format!("{in_title}_{}_{}", place.updated_at_ms, place.id)
    });
    let documents = hits.into_iter().map(|hit| Shown {
        snippet: Some(hit.snippet.into_iter().map(ShownPiece::from).collect()),
        ..hit.document.into()
    });
    Ok(Json(Listed {
        documents: documents.collect(),
        next_cursor,
        trash_days: trash_days(app, filter),
    }))
}

fn trash_days(app: &App, filter: DocumentFilter) -> Option<Option<u64>> {
    let days = app.trash_ms.map(|trash_ms| trash_ms / DAY_MS);
    (filter == DocumentFilter::Trash).then_some(days)
}

fn parse_hit_cursor(text: &str) -> Result<HitCursor, ApiError> {
    let parsed = text.split_once('_').and_then(|(in_title, rest)| {
        let Cursor { updated_at_ms, id } = parse_cursor(rest).ok()?;
        Some(HitCursor {
            in_title: matches!(in_title, "1"),
            updated_at_ms,
            id,
        })
    });
    parsed.ok_or_else(|| ApiError::invalid("cursor is not one that this search gave"))
}

/// How many entries a page has.
pub(super) fn page_limit(limit: Option<u32>) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::invalid(format!("limit must be 1 to {LIMIT_MAX}")))
    }
}

fn parse_cursor(text: &str) -> Result<Cursor, ApiError> {
    let parsed = text.split_once('_').and_then(|(updated_at_ms, id)| {
        Some(Cursor {
            updated_at_ms: updated_at_ms.parse().ok()?,
            id: id.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| ApiError::invalid("cursor is not one that a list gave"))
}

/// Changes title or openness.
#[utoipa::path(
    patch,
    path = "/documents/{id}",
    operation_id = "changeDocument",
    tag = "documents",
    params(DocumentPath, IfMatch),
    request_body = DocumentChange,
    responses(
        (status = 200, description = "As it is now", body = Shown,
         headers(("etag" = String, description = "Its tag now"))),
        (status = 412, description = "If-Match does not hold", body = openapi::Error),
    )
)]
pub(super) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
    conditions: Conditions,
    Body(DocumentChange {
        title,
        organization_role,
    }): Body<DocumentChange>,
) -> Result<Response, ApiError> {
    app.may(&caller, Action::Edit, id).await?;
    if organization_role.is_some() {
        app.may(&caller, Action::Share, id).await?;
    }
    let title = title.map(|title| text("title", &title, TITLE_CHARS_MAX));
    let title = title.transpose()?;
    let role = organization_role.map(|role| role.as_deref().map(given_role).transpose());
    let role = role.transpose()?;
    to_the_end(async move {
        let _turn = app.turns.take(id).await?;
        hold(&app, &caller, id, &conditions).await?;
        let actor = &caller.actor;
        if let Some(title) = title {
            app.catalog.rename_document(actor, id, &title).await?;
        }
        if let Some(role) = role {
            app.catalog.open_document(actor, id, role).await?;
            app.collab.rights_changed(Affected::Document(id)).await;
        }
        let document = app.catalog.document(caller.user(), id, app.now_ms());
        let document = document.await?;
        let known = tag(&document, app.collab.head(id).await?);
        let shown = Json(Shown::from(document));
        Ok(([(header::ETAG, known)], shown).into_response())
    })
    .await
}

/// What the caller says about the document as it is holds. In the trash it has no content to speak of.
async fn hold(
    app: &App,
    caller: &Caller,
    id: DocumentId,
    conditions: &Conditions,
) -> Result<(), ApiError> {
    if conditions.are_given() {
        let document = app.catalog.document(caller.user(), id, app.now_ms());
        conditions.hold(&tag(&document.await?, app.collab.head(id).await?))?;
    }
    Ok(())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Deletion {
    /// For good, instead of into the trash.
    #[serde(default)]
    permanent: bool,
}

/// Puts the document into the trash, or deletes it for good, from there too.
#[utoipa::path(
    delete,
    path = "/documents/{id}",
    operation_id = "deleteDocument",
    tag = "documents",
    params(DocumentPath, Deletion, IfMatch),
    responses(
        (status = 204, description = "It is gone; live sessions close with 4404"),
        (status = 412, description = "If-Match does not hold", body = openapi::Error),
    )
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
    deletion: Result<Query<Deletion>, QueryRejection>,
    conditions: Conditions,
) -> Result<StatusCode, ApiError> {
    let Query(Deletion { permanent }) =
        deletion.map_err(|_| ApiError::invalid("permanent must be true or false"))?;
    // Of what lies in the trash already, the right to take it out is the right to delete it.
    let in_trash = permanent && {
        let restore = app
            .authority
            .authorize(&caller.principal, Action::Restore, id);
        !matches!(restore.await, Err(AuthorizationError::NotFound))
    };
    let action = if in_trash {
        Action::Restore
    } else {
        Action::Delete
    };
    app.may(&caller, action, id).await?;
    to_the_end(async move {
        let _turn = app.turns.take(id).await?;
        hold(&app, &caller, id, &conditions).await?;
        if permanent {
            app.collab.delete(&caller.actor, id).await?;
        } else {
            app.catalog.trash_document(&caller.actor, id, true).await?;
            app.collab.evict(id).await;
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Takes the document out of the trash.
#[utoipa::path(
    post,
    path = "/documents/{id}/restore",
    operation_id = "restoreDocument",
    tag = "documents",
    params(DocumentPath),
    responses((status = 200, description = "As it is now", body = Shown))
)]
pub(super) async fn restore(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
) -> Result<Json<Shown>, ApiError> {
    app.may(&caller, Action::Restore, id).await?;
    app.catalog.trash_document(&caller.actor, id, false).await?;
    let document = app.catalog.document(caller.user(), id, app.now_ms());
    Ok(Json(document.await?.into()))
}

/// Does `change` in a task of its own, for which the request only waits: axum drops a request when
/// its connection closes, and between the catalog and the live sessions that would leave a user with
/// rights that are gone.
pub(super) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(change)
        .await
        .expect("a change of rights does not panic")
}

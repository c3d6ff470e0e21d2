//! `/documents`: the catalog of documents and who may do what with them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use motet_catalog::{Cursor, Document, Grant, Role};
use motet_model::{DocumentId, Revision, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    ApiError, App,
    extract::{Body, Caller, DocumentPath, GrantPath, text},
};
use crate::{clock::rfc3339, entropy};

const TITLE_CHARS_MAX: usize = 200;
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 100;

#[derive(Deserialize)]
pub(super) struct Title {
    title: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    document_id: DocumentId,
    created_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    document_id: DocumentId,
    title: String,
    role: &'static str,
    owner_id: UserId,
    owner_name: String,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
pub(super) struct Page {
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    documents: Vec<Shown>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edit {
    changes: Box<RawValue>,
    client_version: Revision,
    /// Only if `client_version` is the head.
    #[serde(default)]
    strict: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Edited {
    new_version: Revision,
    conflicts: Vec<Conflict>,
}

/// A change that somebody else made at the same place in the meantime.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Conflict {
    revision: Revision,
    user_id: UserId,
    operation: Box<RawValue>,
}

#[derive(Deserialize)]
pub(super) struct NewGrant {
    email: String,
    role: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Granted {
    user_id: UserId,
    email: String,
    name: String,
    role: &'static str,
}

#[derive(Serialize)]
pub(super) struct Grants {
    grants: Vec<Granted>,
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
            updated_at: rfc3339(document.updated_at_ms),
            revision: None,
            content: None,
        }
    }
}

impl From<Grant> for Granted {
    fn from(
        Grant {
            user,
            email,
            name,
            role,
        }: Grant,
    ) -> Self {
        Self {
            user_id: user,
            email,
            name,
            role: role.as_str(),
        }
    }
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    Body(Title { title }): Body<Title>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let title = text("title", &title, TITLE_CHARS_MAX)?;
    let now_ms = app.now_ms();
    let document_id = DocumentId::new(now_ms, entropy::bytes());
    // A token outlives its account by at most its own lifetime; the account is asked for here, where
    // a row would refer to it.
    app.catalog
        .user(claims.user_id)
        .await?
        .ok_or_else(ApiError::unauthenticated)?;
    app.catalog
        .create_document(document_id, &title, claims.user_id, now_ms)
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(Created {
            document_id,
            created_at: rfc3339(now_ms),
        }),
    ))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    page: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Listed>, ApiError> {
    let Query(Page { limit, cursor }) = page.map_err(|_| {
        ApiError::invalid("limit must be a whole number, and each parameter given once")
    })?;
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit must be 1 to {LIMIT_MAX}")));
    }
    let cursor = cursor.as_deref().map(parse_cursor).transpose()?;
    // One more than asked for tells whether there are more.
    let mut documents = app
        .catalog
        .documents(claims.user_id, limit + 1, cursor)
        .await?;
    let more = documents.len() > limit as usize;
    documents.truncate(limit as usize);
    let last = documents.last().filter(|_| more);
    let next_cursor = last.map(|last| format!("{}_{}", last.updated_at_ms, last.id));
    Ok(Json(Listed {
        documents: documents.into_iter().map(Shown::from).collect(),
        next_cursor,
    }))
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

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    DocumentPath(id): DocumentPath,
) -> Result<Json<Shown>, ApiError> {
    let document = app.catalog.document(claims.user_id, id).await?;
    let snapshot = app.collab.snapshot(id).await?;
    let content = String::from_utf8(snapshot.content.to_vec()).ok();
    let content = content.and_then(|content| RawValue::from_string(content).ok());
    Ok(Json(Shown {
        revision: Some(snapshot.revision),
        content,
        ..document.into()
    }))
}

pub(super) async fn rename(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    DocumentPath(id): DocumentPath,
    Body(Title { title }): Body<Title>,
) -> Result<Json<Shown>, ApiError> {
    let document = app.catalog.document(claims.user_id, id).await?;
    if !document.role.may_edit() {
        return Err(ApiError::forbidden(
            "only the owner and editors may do this",
        ));
    }
    let title = text("title", &title, TITLE_CHARS_MAX)?;
    app.catalog
        .rename_document(id, &title, app.now_ms())
        .await?;
    Ok(Json(app.catalog.document(claims.user_id, id).await?.into()))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    DocumentPath(id): DocumentPath,
) -> Result<StatusCode, ApiError> {
    managed(&app, claims.user_id, id).await?;
    to_the_end(async move {
        // In this order: what fails half-way is still listed, and can be deleted again.
        app.collab.delete(id).await?;
        app.catalog.delete_document(id).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

pub(super) async fn grants(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    DocumentPath(id): DocumentPath,
) -> Result<Json<Grants>, ApiError> {
    managed(&app, claims.user_id, id).await?;
    let grants = app.catalog.grants(id).await?;
    Ok(Json(Grants {
        grants: grants.into_iter().map(Granted::from).collect(),
    }))
}

pub(super) async fn grant(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    DocumentPath(id): DocumentPath,
    Body(NewGrant { email, role }): Body<NewGrant>,
) -> Result<(StatusCode, Json<Granted>), ApiError> {
    managed(&app, claims.user_id, id).await?;
    let role = match role.parse() {
        Ok(role @ (Role::Editor | Role::Viewer)) => role,
        _ => return Err(ApiError::invalid("role must be editor or viewer")),
    };
    let user = app.catalog.user_by_email(email.trim()).await?;
    let user = user.ok_or_else(|| ApiError::not_found("account"))?;
    if user.id == claims.user_id {
        return Err(ApiError::invalid("the owner has every right already"));
    }
    to_the_end(async move {
        app.catalog.grant(id, user.id, role).await?;
        app.collab.permission_changed(id, user.id, Some(role)).await;
        let granted = Grant {
            user: user.id,
            email: user.email,
            name: user.name,
            role,
        };
        Ok((StatusCode::CREATED, Json(granted.into())))
    })
    .await
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    GrantPath(id, user): GrantPath,
) -> Result<StatusCode, ApiError> {
    // Who was given a right may give it back.
    if user != claims.user_id {
        managed(&app, claims.user_id, id).await?;
    }
    to_the_end(async move {
        app.catalog.revoke(id, user).await?;
        app.collab.permission_changed(id, user, None).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Does `change` in a task of its own, for which the request only waits: axum drops a request when
/// its connection closes, and between the catalog and the live sessions that would leave a user with
/// rights that are gone.
async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(change)
        .await
        .expect("a change of rights does not panic")
}

/// The caller may share and delete the document, or gets the error that says why not.
async fn managed(app: &App, caller: UserId, id: DocumentId) -> Result<(), ApiError> {
    if app.catalog.document(caller, id).await?.role.may_manage() {
        Ok(())
    } else {
        Err(ApiError::forbidden("only the owner may do this"))
    }
}

/// The same way as a submission over a socket: it is moved over what was committed meanwhile, or merged.
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    Caller(claims): Caller,
    DocumentPath(id): DocumentPath,
    Body(Edit {
        changes,
        client_version,
        strict,
    }): Body<Edit>,
) -> Result<Json<Edited>, ApiError> {
    let operation = motet_ot::decode(changes.get().as_bytes())
        .map_err(|error| ApiError::invalid(format!("changes: {error}")))?;
    let edited = app
        .collab
        .edit(&claims, id, client_version, operation, strict)
        .await?;
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

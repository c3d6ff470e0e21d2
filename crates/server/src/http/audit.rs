//! `/audit`: what was done, for those who may know: administrators of their organization, owners of their
//! documents.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use motet_catalog::{AuditFilter, AuditRow};
use motet_model::{DocumentId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiError, App,
    documents::page_limit,
    extract::{Administrator, Caller, DocumentPath},
    openapi,
};
use crate::{auth::Action, clock::rfc3339};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct Search {
    /// By this account, or upon it.
    #[param(value_type = Option<openapi::Id>)]
    user_id: Option<UserId>,
    #[param(value_type = Option<openapi::Id>)]
    document_id: Option<DocumentId>,
    /// An action, or how it begins: `document.`
    #[param(required = false)]
    #[serde(default)]
    action: String,
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<u64>,
}

/// Names and titles are those of today.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditEntry {
    seq: u64,
    #[schema(format = DateTime)]
    at: String,
    #[schema(value_type = Option<openapi::Id>)]
    actor_id: Option<UserId>,
    actor_name: Option<String>,
    action: String,
    #[schema(value_type = Option<openapi::Id>)]
    document_id: Option<DocumentId>,
    document_title: Option<String>,
    #[schema(value_type = Option<openapi::Id>)]
    user_id: Option<UserId>,
    user_name: Option<String>,
    #[schema(value_type = Option<Object>)]
    details: serde_json::Value,
    address: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditEntries {
    entries: Vec<AuditEntry>,
    next_cursor: Option<String>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            seq: row.seq,
            at: rfc3339(row.at_ms),
            actor_id: row.actor,
            actor_name: row.actor_name,
            action: row.action,
            document_id: row.document,
            document_title: row.document_title,
            user_id: row.user,
            user_name: row.user_name,
            details: row.details,
            address: row.address,
        }
    }
}

/// What was done in the caller's organization, the latest first.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "listAudit",
    tag = "audit",
    params(Search),
    responses((status = 200, description = "The latest first", body = AuditEntries))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    search: Result<Query<Search>, QueryRejection>,
) -> Result<Json<AuditEntries>, ApiError> {
    page(&app, &caller, search, None).await
}

/// What was done with a document, the latest first.
#[utoipa::path(
    get,
    path = "/documents/{id}/audit",
    operation_id = "listDocumentAudit",
    tag = "audit",
    params(DocumentPath, Search),
    responses((status = 200, description = "The latest first", body = AuditEntries))
)]
pub(super) async fn of_document(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
    search: Result<Query<Search>, QueryRejection>,
) -> Result<Json<AuditEntries>, ApiError> {
    app.may(&caller, Action::Audit, id).await?;
    page(&app, &caller, search, Some(id)).await
}

async fn page(
    app: &App,
    caller: &Caller,
    search: Result<Query<Search>, QueryRejection>,
    document: Option<DocumentId>,
) -> Result<Json<AuditEntries>, ApiError> {
    let Query(search) = search.map_err(|_| {
        ApiError::invalid("userId, documentId, limit or cursor is none, or one is given twice")
    })?;
    let limit = page_limit(search.limit)?;
    let filter = AuditFilter {
        organization: Some(caller.principal.organization),
        document: document.or(search.document_id),
        user: search.user_id,
        action: search.action,
        before: search.cursor,
    };
    // One more than asked for tells whether there are more.
    let mut rows = app.catalog.audit(&filter, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| more).map(|row| row.seq.to_string());
    // An owner need not know from where others come; who manages accounts has to.
    let may_know = caller.principal.administrator;
    let entries = rows.into_iter().map(|row| {
        let own = row.actor == Some(caller.user());
        let address = row.address.clone().filter(|_| may_know || own);
        AuditEntry {
            address,
            ..row.into()
        }
    });
    Ok(Json(AuditEntries {
        entries: entries.collect(),
        next_cursor,
    }))
}

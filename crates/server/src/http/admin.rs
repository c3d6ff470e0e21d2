//! `/admin`: what administrators see and do in their organization. They do not get to read documents.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map},
    sync::Arc,
};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode},
};
use motet_catalog::{AuditAction, Entry, Kind, User};
use motet_model::{DocumentId, SessionId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiError, App, Remote,
    accounts::{avatar_url, new_user},
    documents::{page_limit, to_the_end},
    extract::{Administrator, Body, SessionPath, UserPath},
    openapi,
    users::in_organization,
};
use crate::{auth::Purpose, clock::rfc3339, collab::Affected, limits::Limit, nodes::is_forwarded};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// What is to be found in name or address.
    #[param(required = false)]
    #[serde(default)]
    q: String,
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub(super) struct ShownUser {
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    email: Option<String>,
    name: String,
    avatar_url: Option<String>,
    #[schema(value_type = openapi::AccountKind)]
    kind: &'static str,
    administrator: bool,
    disabled: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    last_seen_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Users {
    users: Vec<ShownUser>,
    next_cursor: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewUser)]
pub(super) struct WantedUser {
    email: String,
    name: Option<String>,
    password: String,
    #[serde(default)]
    administrator: bool,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct UserChange {
    disabled: Option<bool>,
    administrator: Option<bool>,
}

#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
pub(super) struct ShownSession {
    #[schema(value_type = openapi::Id)]
    session_id: SessionId,
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    name: String,
    #[schema(value_type = openapi::Id)]
    document_id: DocumentId,
    document_title: Option<String>,
    dialect: Cow<'static, str>,
    #[schema(value_type = openapi::Role)]
    role: Cow<'static, str>,
    address: String,
    #[schema(format = DateTime)]
    since: String,
}

#[derive(Deserialize, Serialize, ToSchema)]
pub(super) struct Sessions {
    sessions: Vec<ShownSession>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Limits {
    limits: Vec<Limit>,
}

impl From<User> for ShownUser {
    fn from(user: User) -> Self {
        Self {
            user_id: user.id,
            email: user.email,
            name: user.name,
            avatar_url: user.avatar.as_deref().map(avatar_url),
            kind: user.kind.as_str(),
            administrator: user.administrator,
            disabled: user.disabled_at_ms.is_some(),
            created_at: rfc3339(user.created_at_ms),
            last_seen_at: user.last_seen_at_ms.map(rfc3339),
        }
    }
}

/// The organization's accounts.
#[utoipa::path(
    get,
    path = "/admin/users",
    operation_id = "listUsers",
    tag = "administration",
    params(Search),
    responses((status = 200, description = "By address", body = Users))
)]
pub(super) async fn users(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    search: Result<Query<Search>, QueryRejection>,
) -> Result<Json<Users>, ApiError> {
    let Query(Search { q, limit, cursor }) = search.map_err(|_| {
        ApiError::invalid("limit must be a whole number, and each parameter given once")
    })?;
    let limit = page_limit(limit)?;
    let organization = Some(caller.principal.organization);
    let after = cursor.unwrap_or_default();
    let users = app.catalog.users(organization, q.trim(), limit + 1, &after);
    let mut users = users.await?;
    let more = users.len() > limit as usize;
    users.truncate(limit as usize);
    let next_cursor = users.last().filter(|_| more).map(User::email_folded);
    Ok(Json(Users {
        users: users.into_iter().map(ShownUser::from).collect(),
        next_cursor,
    }))
}

/// Makes an account.
#[utoipa::path(
    post,
    path = "/admin/users",
    operation_id = "createUser",
    tag = "administration",
    request_body = WantedUser,
    responses((status = 201, description = "It", body = ShownUser), (status = 409, description = "There is an account with this address", body = openapi::Error))
)]
pub(super) async fn create_user(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Body(wanted): Body<WantedUser>,
) -> Result<(StatusCode, Json<ShownUser>), ApiError> {
    let organization = caller.principal.organization;
    let name = wanted.name.as_deref();
    let (purpose, email) = (Purpose::Account(caller.user()), &wanted.email);
    let mut user = new_user(&app, purpose, organization, email, wanted.password, name).await?;
    user.administrator = wanted.administrator;
    app.catalog
        .create_user(&caller.actor, &user, AuditAction::AccountCreated)
        .await?;
    let user = in_organization(&app, &caller, user.id).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// Disables an account, or makes it an administrator.
#[utoipa::path(
    patch,
    path = "/admin/users/{id}",
    operation_id = "changeUser",
    tag = "administration",
    params(UserPath),
    request_body = UserChange,
    responses((status = 200, description = "As it is now", body = ShownUser), (status = 409, description = "The last administrator", body = openapi::Error))
)]
pub(super) async fn change_user(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    UserPath(id): UserPath,
    Body(UserChange {
        disabled,
        administrator,
    }): Body<UserChange>,
) -> Result<Json<ShownUser>, ApiError> {
    let user = in_organization(&app, &caller, id).await?;
    if administrator == Some(true) && user.kind != Kind::Member {
        return Err(ApiError::invalid("a guest cannot be an administrator"));
    }
    to_the_end(async move {
        if let Some(administrator) = administrator.filter(|it| *it != user.administrator) {
            app.catalog
                .set_administrator(&caller.actor, id, administrator)
                .await?;
        }
        if let Some(disabled) = disabled.filter(|it| *it != user.disabled_at_ms.is_some()) {
            app.catalog
                .set_disabled(&caller.actor, id, disabled)
                .await?;
        }
        app.collab.rights_changed(Affected::User(id)).await;
        let user = in_organization(&app, &caller, id).await?;
        Ok(Json(user.into()))
    })
    .await
}

/// Who of the organization is in which document.
#[utoipa::path(
    get,
    path = "/admin/sessions",
    operation_id = "listSessions",
    tag = "administration",
    responses((status = 200, description = "The earliest first", body = Sessions))
)]
pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    headers: HeaderMap,
    remote: Remote,
) -> Result<Json<Sessions>, ApiError> {
    let organization = caller.principal.organization;
    let live = app
        .collab
        .live_sessions(|session| session.principal.organization == organization);
    let mut titles = HashMap::new();
    for session in &live {
        if let hash_map::Entry::Vacant(title) = titles.entry(session.document) {
            title.insert(app.catalog.title_of(session.document).await?);
        }
    }
    let shown = live.into_iter().map(|session| ShownSession {
        session_id: session.id,
        user_id: session.principal.user,
        name: session.principal.name.clone(),
        document_id: session.document,
        document_title: titles.get(&session.document).cloned().flatten(),
        dialect: session.dialect.into(),
        role: session.role.as_str().into(),
        address: session.address.to_string(),
        since: rfc3339(session.since_ms),
    });
    let mut sessions: Vec<_> = shown.collect();
    if !is_forwarded(&headers) {
        let elsewhere = app
            .nodes
            .ask::<Sessions>("/api/v1/admin/sessions", &headers, &remote)
            .await;
        sessions.extend(elsewhere.into_iter().flat_map(|it| it.sessions));
    }
    // In RFC 3339 with one length, the order of times is that of their texts.
    sessions.sort_by(|a, b| (&a.since, a.session_id).cmp(&(&b.since, b.session_id)));
    Ok(Json(Sessions { sessions }))
}

/// Ends a session. Its client may come back: to keep somebody out, disable the account.
#[utoipa::path(
    delete,
    path = "/admin/sessions/{id}",
    operation_id = "endSession",
    tag = "administration",
    params(SessionPath),
    responses((status = 204, description = "It is closed with 4403"))
)]
pub(super) async fn end_session(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    SessionPath(id): SessionPath,
    headers: HeaderMap,
    remote: Remote,
) -> Result<StatusCode, ApiError> {
    let organization = caller.principal.organization;
    let live = app.collab.live_sessions(|session| {
        session.id == id && session.principal.organization == organization
    });
    let Some(session) = live.first() else {
        let path = format!("/api/v1/admin/sessions/{id}");
        if !is_forwarded(&headers) && app.nodes.delete(&path, &headers, &remote).await {
            return Ok(StatusCode::NO_CONTENT);
        }
        return Err(ApiError::not_found("session"));
    };
    let entry = Entry::new(AuditAction::SessionEnded)
        .document(session.document)
        .user(session.principal.user)
        .detail("session", id.to_string().into());
    app.catalog.note(&[(caller.actor, entry)]).await?;
    app.collab.end_session(id);
    Ok(StatusCode::NO_CONTENT)
}

/// The server's limits. One of 0 is none.
#[utoipa::path(
    get,
    path = "/admin/limits",
    operation_id = "listLimits",
    tag = "administration",
    responses((status = 200, description = "Settings first", body = Limits))
)]
pub(super) async fn limits(
    State(app): State<Arc<App>>,
    Administrator(_): Administrator,
) -> Json<Limits> {
    let limits = app.listed_limits.clone();
    Json(Limits { limits })
}

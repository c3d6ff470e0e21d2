//! `/documents/{id}/grants`: who may do what with a document.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use motet_catalog::{CatalogError, Grant, GroupGrant, Removed, Role};
use motet_model::{GroupId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ApiError, App,
    accounts::avatar_url,
    documents::to_the_end,
    extract::{Body, Caller, DocumentPath, GrantPath},
    openapi,
};
use crate::{
    auth::{Action, Scope},
    collab::Affected,
};

/// To one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewGrant {
    email: Option<String>,
    #[schema(value_type = Option<openapi::Id>)]
    user_id: Option<UserId>,
    #[schema(value_type = Option<openapi::Id>)]
    group_id: Option<GroupId>,
    #[schema(value_type = openapi::GivenRole)]
    role: String,
}

/// What a person may do with a document, and why.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Granted {
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    email: Option<String>,
    name: String,
    avatar_url: Option<String>,
    #[schema(value_type = openapi::Role)]
    role: &'static str,
    /// `owner`, `grant` or `link`.
    via: String,
}

/// What a group may do with a document.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupGranted {
    #[schema(value_type = openapi::Id)]
    group_id: GroupId,
    name: String,
    #[schema(value_type = openapi::GivenRole)]
    role: &'static str,
}

/// Whom the owner has taken out, and whom the document's links do not let in again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Removed)]
pub(super) struct ShownRemoved {
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    name: String,
    avatar_url: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Grants {
    grants: Vec<Granted>,
    groups: Vec<GroupGranted>,
    removed: Vec<ShownRemoved>,
}

/// A grant to a person or to a group.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum EitherGranted {
    Person(Granted),
    Group(GroupGranted),
}

impl From<Grant> for Granted {
    fn from(grant: Grant) -> Self {
        Self {
            user_id: grant.user,
            // Who came by a link has told nobody.
            email: grant.email.filter(|_| grant.via != "link"),
            name: grant.name,
            avatar_url: grant.avatar.as_deref().map(avatar_url),
            role: grant.role.as_str(),
            via: grant.via,
        }
    }
}

impl From<GroupGrant> for GroupGranted {
    fn from(GroupGrant { group, name, role }: GroupGrant) -> Self {
        Self {
            group_id: group,
            name,
            role: role.as_str(),
        }
    }
}

impl From<Removed> for ShownRemoved {
    fn from(Removed { user, name, avatar }: Removed) -> Self {
        Self {
            user_id: user,
            name,
            avatar_url: avatar.as_deref().map(avatar_url),
        }
    }
}

/// Who may do what with a document.
#[utoipa::path(
    get,
    path = "/documents/{id}/grants",
    operation_id = "listGrants",
    tag = "grants",
    params(DocumentPath),
    responses((status = 200, description = "The owner first", body = Grants))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
) -> Result<Json<Grants>, ApiError> {
    app.may(&caller, Action::Share, id).await?;
    let grants = app.catalog.grants(id, app.now_ms()).await?;
    let groups = app.catalog.group_grants(id).await?;
    let removed = app.catalog.removed(id, app.now_ms()).await?;
    Ok(Json(Grants {
        grants: grants.into_iter().map(Granted::from).collect(),
        groups: groups.into_iter().map(GroupGranted::from).collect(),
        removed: removed.into_iter().map(ShownRemoved::from).collect(),
    }))
}

/// Gives a role to a person or a group; it replaces the one given before.
#[utoipa::path(
    post,
    path = "/documents/{id}/grants",
    operation_id = "grant",
    tag = "grants",
    params(DocumentPath),
    request_body = NewGrant,
    responses((status = 201, description = "What was given", body = EitherGranted))
)]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
    Body(grant): Body<NewGrant>,
) -> Result<(StatusCode, Json<EitherGranted>), ApiError> {
    app.may(&caller, Action::Share, id).await?;
    let role = given_role(&grant.role)?;
    // Whoever knows an id only does not learn the address by it.
    let knows_email = grant.email.is_some();
    let user = match (grant.email, grant.user_id, grant.group_id) {
        (Some(email), None, None) => app.catalog.user_by_email(email.trim()).await?,
        (None, Some(user), None) => app.catalog.user(user).await?,
        (None, None, Some(group)) => return add_group(app, caller, id, group, role).await,
        _ => {
            let message = "one of email, userId and groupId must be given";
            return Err(ApiError::invalid(message));
        }
    };
    // Of another organization is as good as of nowhere.
    let user = user.filter(|user| user.organization == caller.principal.organization);
    let user = user.ok_or_else(|| ApiError::not_found("account"))?;
    if user.id == caller.user() {
        return Err(ApiError::invalid("the owner has every right already"));
    }
    to_the_end(async move {
        app.catalog.grant(&caller.actor, id, user.id, role).await?;
        app.collab.rights_changed(Affected::User(user.id)).await;
        let granted = Granted {
            user_id: user.id,
            email: user.email.filter(|_| knows_email),
            name: user.name,
            avatar_url: user.avatar.as_deref().map(avatar_url),
            role: role.as_str(),
            via: "grant".to_owned(),
        };
        Ok((StatusCode::CREATED, Json(EitherGranted::Person(granted))))
    })
    .await
}

async fn add_group(
    app: Arc<App>,
    caller: Caller,
    id: motet_model::DocumentId,
    group: GroupId,
    role: Role,
) -> Result<(StatusCode, Json<EitherGranted>), ApiError> {
    let found = app.catalog.group(caller.principal.organization, group);
    let name = found.await?.name;
    to_the_end(async move {
        app.catalog
            .grant_group(&caller.actor, id, group, role)
            .await?;
        app.collab.rights_changed(Affected::Document(id)).await;
        let granted = GroupGrant { group, name, role };
        Ok((
            StatusCode::CREATED,
            Json(EitherGranted::Group(granted.into())),
        ))
    })
    .await
}

/// Takes away what a person or group was given.
#[utoipa::path(
    delete,
    path = "/documents/{id}/grants/{whom}",
    operation_id = "revoke",
    tag = "grants",
    params(GrantPath),
    responses((status = 204, description = "It is taken away"))
)]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    GrantPath(id, whom): GrantPath,
) -> Result<StatusCode, ApiError> {
    // Who was given a right may give it back.
    if whom == caller.user() {
        app.may(&caller, Action::Read, id).await?;
        let scopes = caller.principal.scopes;
        if !scopes.has(Scope::Write) && !scopes.has(Scope::Manage) {
            return Err(ApiError::missing_scope(Scope::Write));
        }
    } else {
        app.may(&caller, Action::Share, id).await?;
    }
    to_the_end(async move {
        let revoked = app.catalog.revoke(&caller.actor, id, whom).await;
        match revoked {
            Err(CatalogError::NotFound { .. }) => {
                let group = GroupId::from_bytes(whom.to_bytes());
                app.catalog.revoke_group(&caller.actor, id, group).await?;
            }
            revoked => revoked?,
        }
        app.collab.rights_changed(Affected::Document(id)).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A role that an owner can give.
pub(super) fn given_role(text: &str) -> Result<Role, ApiError> {
    let role = text.parse().ok().filter(|role| *role != Role::Owner);
    role.ok_or_else(|| ApiError::invalid("role must be editor, commenter or viewer"))
}

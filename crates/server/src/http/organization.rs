//! `/organization` and `/groups`: for members to see, and for administrators to manage.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use motet_catalog::{Group, Kind, Organization, User};
use motet_model::{GroupId, OrganizationId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ApiError, App,
    accounts::avatar_url,
    documents::to_the_end,
    extract::{Administrator, Body, Caller, GroupPath, MemberPath, text},
    openapi,
};
use crate::{
    auth::{Scope, names::NAME_CHARS_MAX},
    collab::Affected,
    entropy,
};

#[derive(Deserialize, ToSchema)]
pub(super) struct Name {
    name: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Organization)]
pub(super) struct ShownOrganization {
    #[schema(value_type = openapi::Id)]
    organization_id: OrganizationId,
    name: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Group)]
pub(super) struct ShownGroup {
    #[schema(value_type = openapi::Id)]
    group_id: GroupId,
    name: String,
    members: u64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Groups {
    groups: Vec<ShownGroup>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Member {
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    name: String,
    avatar_url: Option<String>,
    /// For administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Members {
    members: Vec<Member>,
}

impl From<Organization> for ShownOrganization {
    fn from(Organization { id, name }: Organization) -> Self {
        Self {
            organization_id: id,
            name,
        }
    }
}

impl From<Group> for ShownGroup {
    fn from(Group { id, name, members }: Group) -> Self {
        Self {
            group_id: id,
            name,
            members,
        }
    }
}

/// Guests are nobody's members.
fn member(caller: Caller) -> Result<Caller, ApiError> {
    let caller = caller.with(Scope::Read)?;
    if caller.principal.kind == Kind::Member {
        Ok(caller)
    } else {
        Err(ApiError::forbidden("guests belong to no organization"))
    }
}

/// The caller's organization.
#[utoipa::path(
    get,
    path = "/organization",
    operation_id = "getOrganization",
    tag = "organization",
    responses((status = 200, description = "It", body = ShownOrganization))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<ShownOrganization>, ApiError> {
    let caller = member(caller)?;
    let organization = app.catalog.organization(caller.principal.organization);
    Ok(Json(organization.await?.into()))
}

/// Gives the organization another name.
#[utoipa::path(
    patch,
    path = "/organization",
    operation_id = "renameOrganization",
    tag = "organization",
    request_body = Name,
    responses((status = 200, description = "As it is now", body = ShownOrganization))
)]
pub(super) async fn rename(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Body(Name { name }): Body<Name>,
) -> Result<Json<ShownOrganization>, ApiError> {
    let name = text("name", &name, NAME_CHARS_MAX)?;
    let id = caller.principal.organization;
    app.catalog
        .rename_organization(&caller.actor, id, &name)
        .await?;
    Ok(Json(Organization { id, name }.into()))
}

/// The organization's groups.
#[utoipa::path(
    get,
    path = "/groups",
    operation_id = "listGroups",
    tag = "organization",
    responses((status = 200, description = "All", body = Groups))
)]
pub(super) async fn groups(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Json<Groups>, ApiError> {
    let caller = member(caller)?;
    let groups = app.catalog.groups(caller.principal.organization).await?;
    let groups = groups.into_iter().map(ShownGroup::from).collect();
    Ok(Json(Groups { groups }))
}

/// Makes a group.
#[utoipa::path(
    post,
    path = "/groups",
    operation_id = "createGroup",
    tag = "organization",
    request_body = Name,
    responses((status = 201, description = "It", body = ShownGroup))
)]
pub(super) async fn create_group(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    Body(Name { name }): Body<Name>,
) -> Result<(StatusCode, Json<ShownGroup>), ApiError> {
    let name = text("name", &name, NAME_CHARS_MAX)?;
    let id = GroupId::new(app.now_ms(), entropy::bytes());
    app.catalog.create_group(&caller.actor, id, &name).await?;
    let group = Group {
        id,
        name,
        members: 0,
    };
    Ok((StatusCode::CREATED, Json(group.into())))
}

/// Gives a group another name.
#[utoipa::path(
    patch,
    path = "/groups/{id}",
    operation_id = "renameGroup",
    tag = "organization",
    params(GroupPath),
    request_body = Name,
    responses((status = 200, description = "As it is now", body = ShownGroup))
)]
pub(super) async fn rename_group(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    GroupPath(id): GroupPath,
    Body(Name { name }): Body<Name>,
) -> Result<Json<ShownGroup>, ApiError> {
    let name = text("name", &name, NAME_CHARS_MAX)?;
    app.catalog.rename_group(&caller.actor, id, &name).await?;
    let group = app.catalog.group(caller.principal.organization, id);
    Ok(Json(group.await?.into()))
}

/// Removes a group, and the rights that it gave.
#[utoipa::path(
    delete,
    path = "/groups/{id}",
    operation_id = "deleteGroup",
    tag = "organization",
    params(GroupPath),
    responses((status = 204, description = "It is gone"))
)]
pub(super) async fn delete_group(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    GroupPath(id): GroupPath,
) -> Result<StatusCode, ApiError> {
    to_the_end(async move {
        app.catalog.delete_group(&caller.actor, id).await?;
        let affected = Affected::Organization(caller.principal.organization);
        app.collab.rights_changed(affected).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// A group's members.
#[utoipa::path(
    get,
    path = "/groups/{id}/members",
    operation_id = "listMembers",
    tag = "organization",
    params(GroupPath),
    responses((status = 200, description = "All", body = Members))
)]
pub(super) async fn members(
    State(app): State<Arc<App>>,
    caller: Caller,
    GroupPath(id): GroupPath,
) -> Result<Json<Members>, ApiError> {
    let caller = member(caller)?;
    app.catalog.group(caller.principal.organization, id).await?;
    let members = app.catalog.group_members(id).await?;
    let shown = |user: User| Member {
        user_id: user.id,
        name: user.name,
        avatar_url: user.avatar.as_deref().map(avatar_url),
        email: user.email.filter(|_| caller.principal.administrator),
    };
    let members = members.into_iter().map(shown).collect();
    Ok(Json(Members { members }))
}

/// Takes somebody into a group.
#[utoipa::path(
    put,
    path = "/groups/{id}/members/{user}",
    operation_id = "joinGroup",
    tag = "organization",
    params(MemberPath),
    responses((status = 204, description = "They are in it"))
)]
pub(super) async fn join(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    MemberPath(group, user): MemberPath,
) -> Result<StatusCode, ApiError> {
    to_the_end(async move {
        app.catalog.join_group(&caller.actor, group, user).await?;
        app.collab.rights_changed(Affected::User(user)).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Takes somebody out of a group.
#[utoipa::path(
    delete,
    path = "/groups/{id}/members/{user}",
    operation_id = "leaveGroup",
    tag = "organization",
    params(MemberPath),
    responses((status = 204, description = "They are not in it"))
)]
pub(super) async fn leave(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    MemberPath(group, user): MemberPath,
) -> Result<StatusCode, ApiError> {
    to_the_end(async move {
        app.catalog.leave_group(&caller.actor, group, user).await?;
        app.collab.rights_changed(Affected::User(user)).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

//! `/users` and `/avatars`: how people look to others.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use motet_catalog::{Avatar, Kind, ProfileChange, User};
use motet_model::UserId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ApiError, App,
    accounts::avatar_url,
    extract::{AvatarPath, Body, Caller, UserPath, given, text},
    openapi,
};
use crate::{
    auth::{Scope, names::NAME_CHARS_MAX},
    entropy,
};

/// Largest picture.
pub(super) const AVATAR_BYTES_MAX: usize = 256 << 10;
/// Colours are numbered below this.
const COLORS: u8 = 16;

/// How a person looks to others.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    #[schema(value_type = openapi::Id)]
    user_id: UserId,
    name: String,
    color: Option<u8>,
    avatar_url: Option<String>,
    /// For the person, and administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = ProfileChange)]
pub(super) struct Change {
    name: Option<String>,
    /// 0 to 15; `null`: none.
    #[serde(default, deserialize_with = "given")]
    color: Option<Option<u8>>,
}

impl Profile {
    fn of(user: User, caller: &Caller) -> Self {
        let may_know = user.id == caller.user() || caller.principal.administrator;
        Self {
            user_id: user.id,
            name: user.name,
            color: user.color,
            avatar_url: user.avatar.as_deref().map(avatar_url),
            email: user.email.filter(|_| may_know),
        }
    }
}

/// How a person of the organization looks to others.
#[utoipa::path(
    get,
    path = "/users/{id}",
    operation_id = "getProfile",
    tag = "users",
    params(UserPath),
    responses((status = 200, description = "The profile", body = Profile))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    UserPath(id): UserPath,
) -> Result<Json<Profile>, ApiError> {
    let caller = caller.with(Scope::Read)?;
    let user = in_organization(&app, &caller, id).await?;
    // A guest knows those whom it meets in its documents, and nobody else.
    if caller.principal.kind == Kind::Guest && id != caller.user() {
        return Err(ApiError::not_found("account"));
    }
    Ok(Json(Profile::of(user, &caller)))
}

/// The account, if it is of the caller's organization.
pub(super) async fn in_organization(
    app: &App,
    caller: &Caller,
    id: UserId,
) -> Result<User, ApiError> {
    let user = app.catalog.user(id).await?;
    let user = user.filter(|user| {
        user.organization == caller.principal.organization && user.kind != Kind::Erased
    });
    user.ok_or_else(|| ApiError::not_found("account"))
}

/// Only the person may change how they look.
fn own(caller: Caller, id: UserId) -> Result<Caller, ApiError> {
    let caller = caller.with(Scope::Account)?;
    if caller.user() == id {
        Ok(caller)
    } else {
        Err(ApiError::not_found("account"))
    }
}

/// Changes how the caller looks to others.
#[utoipa::path(
    patch,
    path = "/users/{id}",
    operation_id = "changeProfile",
    tag = "users",
    params(UserPath),
    request_body = Change,
    responses((status = 200, description = "As it is now", body = Profile))
)]
pub(super) async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    UserPath(id): UserPath,
    Body(Change { name, color }): Body<Change>,
) -> Result<Json<Profile>, ApiError> {
    let caller = own(caller, id)?;
    if color.flatten().is_some_and(|color| color >= COLORS) {
        let message = format!("color must be 0 to {} or null", COLORS - 1);
        return Err(ApiError::invalid(message));
    }
    let name = match name {
        Some(name) => Some(text("name", &name, NAME_CHARS_MAX)?),
        None => None,
    };
    let change = ProfileChange { name, color };
    app.catalog
        .change_profile(&caller.actor, id, &change)
        .await?;
    let user = in_organization(&app, &caller, id).await?;
    Ok(Json(Profile::of(user, &caller)))
}

/// Takes a picture, of whichever kind its bytes are.
#[utoipa::path(
    put,
    path = "/users/{id}/avatar",
    operation_id = "putAvatar",
    tag = "users",
    params(UserPath),
    request_body(content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"))),
    responses((status = 200, description = "As it is now", body = Profile))
)]
pub(super) async fn put_avatar(
    State(app): State<Arc<App>>,
    caller: Caller,
    UserPath(id): UserPath,
    image: Bytes,
) -> Result<Json<Profile>, ApiError> {
    let caller = own(caller, id)?;
    let media_type = media_type(&image).ok_or_else(ApiError::not_an_image)?;
    let avatar = Avatar {
        id: entropy::token::<18>(),
        media_type: media_type.to_owned(),
        image: STANDARD.encode(&image),
    };
    app.catalog
        .change_avatar(&caller.actor, id, Some(&avatar))
        .await?;
    let user = in_organization(&app, &caller, id).await?;
    Ok(Json(Profile::of(user, &caller)))
}

/// Takes the caller's picture away.
#[utoipa::path(
    delete,
    path = "/users/{id}/avatar",
    operation_id = "deleteAvatar",
    tag = "users",
    params(UserPath),
    responses((status = 204, description = "There is none"))
)]
pub(super) async fn delete_avatar(
    State(app): State<Arc<App>>,
    caller: Caller,
    UserPath(id): UserPath,
) -> Result<StatusCode, ApiError> {
    let caller = own(caller, id)?;
    app.catalog.change_avatar(&caller.actor, id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A picture, for whoever knows its id: pages cannot send a token with an image.
#[utoipa::path(
    get,
    path = "/avatars/{id}",
    operation_id = "getAvatar",
    tag = "users",
    security(()),
    params(("id" = String, Path)),
    responses((status = 200, description = "The picture", content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"))))
)]
pub(super) async fn avatar(
    State(app): State<Arc<App>>,
    AvatarPath(id): AvatarPath,
) -> Result<impl IntoResponse, ApiError> {
    let avatar = app.catalog.avatar(&id).await?;
    let image = STANDARD.decode(avatar.image).unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, avatar.media_type),
        (
            header::CACHE_CONTROL,
            "private, max-age=31536000, immutable".to_owned(),
        ),
    ];
    Ok((headers, image))
}

/// What a browser would show as an image and never run, told by how the bytes begin.
fn media_type(image: &[u8]) -> Option<&'static str> {
    match image {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

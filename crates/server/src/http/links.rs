//! `/documents/{id}/links` and `/links`: share links, from their owner's side and from the other.

use std::{net::IpAddr, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use motet_catalog::{Actor, AuditAction, Entry, Kind, Link, NewLink, NewUser, Role};
use motet_model::{DocumentId, LinkId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    ApiError, App,
    accounts::{PASSWORD_CHARS_MAX, SignedIn, sign_in},
    documents::to_the_end,
    extract::{Body, Caller, DocumentPath, LinkPath, TokenPath, Visitor, text, time},
    grants::given_role,
    openapi,
};
use crate::{
    auth::{Action, LockoutError, Purpose, Scope, lockout, names::NAME_CHARS_MAX},
    clock::rfc3339,
    collab::Affected,
    entropy,
    refusals::Who,
};

/// Most links of one document.
const LINKS_MAX: u32 = 100;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NewLink)]
pub(super) struct WantedLink {
    #[schema(value_type = openapi::GivenRole)]
    role: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    password: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Link)]
pub(super) struct ShownLink {
    #[schema(value_type = openapi::Id)]
    link_id: LinkId,
    token: String,
    #[schema(value_type = openapi::Role)]
    role: &'static str,
    has_password: bool,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Links {
    links: Vec<ShownLink>,
}

/// What a link is to whoever has it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invitation {
    #[schema(value_type = openapi::Role)]
    role: &'static str,
    password_required: bool,
    /// Not told while there is a password to ask for.
    title: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Visit {
    password: Option<String>,
    /// What others call a guest.
    name: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Visited {
    #[schema(value_type = openapi::Id)]
    document_id: DocumentId,
    #[schema(value_type = openapi::Role)]
    role: &'static str,
    /// The account that was made for whoever has none.
    guest: Option<SignedIn>,
}

impl From<Link> for ShownLink {
    fn from(link: Link) -> Self {
        Self {
            link_id: link.id,
            token: link.token,
            role: link.role.as_str(),
            has_password: link.password_hash.is_some(),
            expires_at: link.expires_at_ms.map(rfc3339),
            created_at: rfc3339(link.created_at_ms),
        }
    }
}

/// The share links of a document.
#[utoipa::path(
    get,
    path = "/documents/{id}/links",
    operation_id = "listLinks",
    tag = "links",
    params(DocumentPath),
    responses((status = 200, description = "With their tokens", body = Links))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
) -> Result<Json<Links>, ApiError> {
    app.may(&caller, Action::Share, id).await?;
    let links = app.catalog.links(id).await?;
    let links = links.into_iter().map(ShownLink::from).collect();
    Ok(Json(Links { links }))
}

/// Makes a share link.
#[utoipa::path(
    post,
    path = "/documents/{id}/links",
    operation_id = "createLink",
    tag = "links",
    params(DocumentPath),
    request_body = WantedLink,
    responses((status = 201, description = "Its page is /l/ and its token", body = ShownLink))
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    DocumentPath(id): DocumentPath,
    Body(wanted): Body<WantedLink>,
) -> Result<(StatusCode, Json<ShownLink>), ApiError> {
    app.may(&caller, Action::Share, id).await?;
    let role = given_role(&wanted.role)?;
    let expires_at_ms = match wanted.expires_at.as_deref() {
        Some(text) => Some(time("expiresAt", text, app.now_ms())?),
        None => None,
    };
    let password_hash = match wanted.password {
        Some(password) if (1..=PASSWORD_CHARS_MAX).contains(&password.chars().count()) => {
            let purpose = Purpose::Account(caller.user());
            Some(app.passwords.hash(purpose, password).await?)
        }
        Some(_) => {
            let message = format!("password must have 1 to {PASSWORD_CHARS_MAX} characters");
            return Err(ApiError::invalid(message));
        }
        None => None,
    };
    let link = NewLink {
        id: LinkId::new(app.now_ms(), entropy::bytes()),
        document: id,
        token: entropy::token::<18>(),
        role,
        password_hash,
        expires_at_ms,
    };
    app.catalog
        .create_link(&caller.actor, &link, LINKS_MAX)
        .await?;
    let shown = ShownLink {
        link_id: link.id,
        token: link.token,
        role: role.as_str(),
        has_password: link.password_hash.is_some(),
        expires_at: expires_at_ms.map(rfc3339),
        created_at: rfc3339(caller.actor.at_ms),
    };
    Ok((StatusCode::CREATED, Json(shown)))
}

/// Voids a link: what it gave is gone.
#[utoipa::path(
    delete,
    path = "/documents/{id}/links/{link}",
    operation_id = "revokeLink",
    tag = "links",
    params(LinkPath),
    responses((status = 204, description = "It is void"))
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    LinkPath(id, link): LinkPath,
) -> Result<StatusCode, ApiError> {
    app.may(&caller, Action::Share, id).await?;
    to_the_end(async move {
        app.catalog.revoke_link(&caller.actor, id, link).await?;
        app.collab.rights_changed(Affected::Document(id)).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// What a link opens, for whoever has it.
#[utoipa::path(
    get,
    path = "/links/{token}",
    operation_id = "getInvitation",
    tag = "links",
    security(()),
    params(("token" = String, Path)),
    responses((status = 200, description = "What it gives", body = Invitation))
)]
pub(super) async fn invitation(
    State(app): State<Arc<App>>,
    TokenPath(token): TokenPath,
) -> Result<Json<Invitation>, ApiError> {
    let link = app.catalog.link(&token, app.now_ms()).await?;
    let password_required = link.password_hash.is_some();
    Ok(Json(Invitation {
        role: link.role.as_str(),
        password_required,
        title: (!password_required).then_some(link.title),
    }))
}

/// Opens a link: the document is among the caller's from now on, or a guest's.
#[utoipa::path(
    post,
    path = "/links/{token}",
    operation_id = "openLink",
    tag = "links",
    security((), ("bearer" = [])),
    params(("token" = String, Path)),
    request_body = Visit,
    responses((status = 200, description = "The document is theirs to open", body = Visited), (status = 401, description = "A password is needed, or another one; or the token is not valid", body = openapi::Error), (status = 403, description = "The link is of another organization (other_organization), has as many guests as it may (link_full), or the document's owner has taken the caller out (link_denied)", body = openapi::Error))
)]
pub(super) async fn open(
    State(app): State<Arc<App>>,
    caller: Option<Caller>,
    visitor: Visitor,
    TokenPath(token): TokenPath,
    Body(visit): Body<Visit>,
) -> Result<Json<Visited>, ApiError> {
    let link = app.catalog.link(&token, app.now_ms()).await?;
    let caller = caller.map(|caller| caller.with(Scope::Write)).transpose()?;
    if let Some(caller) = &caller
        && caller.principal.organization != link.organization
    {
        return Err(ApiError::other_organization());
    }
    let network = visitor.network;
    let actor = Actor {
        organization: link.organization,
        ..caller
            .as_ref()
            .map_or(visitor.actor, |caller| caller.actor.clone())
    };
    check_password(&app, &link, visit.password, &actor, network).await?;
    match caller {
        Some(caller) => enter(app, caller, link).await,
        None => enter_as_guest(app, actor, link, visit.name).await,
    }
}

async fn check_password(
    app: &App,
    link: &Link,
    password: Option<String>,
    actor: &Actor,
    network: IpAddr,
) -> Result<(), ApiError> {
    let Some(expected) = link.password_hash.clone() else {
        return Ok(());
    };
    let password = password.ok_or_else(ApiError::password_required)?;
    let what = link.id.to_string();
    let refused = |reason: &str| {
        let entry = Entry::new(AuditAction::LinkFailed).document(link.document);
        let details = json!({ "link": what, "reason": reason });
        (actor.clone(), entry.details(details))
    };
    let attempt = lockout::attempt(&app.catalog, &what, network, app.now_ms()).await;
    if matches!(attempt, Err(LockoutError::Locked { .. })) {
        let (actor, entry) = refused("locked");
        let who = actor.user.map_or(Who::Network(network), Who::User);
        app.refusals.note(who, actor, entry).await?;
    }
    let attempt = attempt?;
    let purpose = Purpose::Link(link.id, network);
    let matches = password.chars().count() <= PASSWORD_CHARS_MAX
        && app
            .passwords
            .verify(purpose, password, Some(expected))
            .await?;
    if !matches {
        app.catalog.note(&[refused("wrong_password")]).await?;
        return Err(ApiError::invalid_password());
    }
    attempt.succeeded(&app.catalog).await?;
    Ok(())
}

async fn enter(app: Arc<App>, caller: Caller, link: Link) -> Result<Json<Visited>, ApiError> {
    let (user, id) = (caller.user(), link.document);
    to_the_end(async move {
        let rights = app.catalog.rights(user, id, app.now_ms()).await?;
        // Whoever may do as much already needs no further right, that would be shown to the owner.
        let role = match rights {
            Some(rights) if rights.role >= link.role && rights.until_ms.is_none() => rights.role,
            rights => {
                app.catalog
                    .open_link(&caller.actor, &link, user, None, app.guests_per_link_max)
                    .await?;
                app.collab.rights_changed(Affected::User(user)).await;
                rights.map_or(link.role, |rights| rights.role.max(link.role))
            }
        };
        Ok(Json(Visited {
            document_id: id,
            role: role.as_str(),
            guest: None,
        }))
    })
    .await
}

async fn enter_as_guest(
    app: Arc<App>,
    actor: Actor,
    link: Link,
    name: Option<String>,
) -> Result<Json<Visited>, ApiError> {
    let name = name
        .as_deref()
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let name = text("name", name.unwrap_or("Guest"), NAME_CHARS_MAX)?;
    let guest = NewUser {
        id: UserId::new(app.now_ms(), entropy::bytes()),
        organization: link.organization,
        kind: Kind::Guest,
        email: None,
        name,
        password_hash: None,
        administrator: false,
    };
    let actor = Actor {
        user: Some(guest.id),
        ..actor
    };
    app.catalog
        .open_link(
            &actor,
            &link,
            guest.id,
            Some(&guest),
            app.guests_per_link_max,
        )
        .await?;
    let signed_in = sign_in(&app, &actor, guest.id, &guest.name, None, "link").await?;
    Ok(Json(Visited {
        document_id: link.document,
        role: Role::as_str(link.role),
        guest: Some(signed_in),
    }))
}

//! `/users/{id}/export` and `/users/{id}/erase`: what people may ask for of what is kept about them.

use std::sync::Arc;

use axum::{
    body::Body as Stream,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use motet_catalog::{AuditAction, Entry, User};
use motet_model::UserId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    ApiError, App,
    accounts::check_password,
    documents::to_the_end,
    extract::{Body, Caller, UserPath},
    openapi,
    users::in_organization,
};
use crate::{
    auth::{Credential, Scope},
    export::Exporter,
};

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Erasure {
    /// Of one who erases their own account.
    password: Option<String>,
    /// The e-mail address of whom the documents go to; without, they are deleted.
    transfer_to: Option<String>,
}

/// The account of the path: the caller's own, or one that the caller manages.
async fn account(app: &App, caller: Caller, id: UserId) -> Result<(Caller, User), ApiError> {
    let caller = if id == caller.user() {
        caller.with(Scope::Account)?
    } else if caller.principal.administrator {
        caller.with(Scope::Manage)?
    } else {
        return Err(ApiError::not_found("account"));
    };
    let user = in_organization(app, &caller, id).await?;
    Ok((caller, user))
}

/// All that is kept about a person, as one JSON document.
#[utoipa::path(
    get,
    path = "/users/{id}/export",
    operation_id = "exportUser",
    tag = "users",
    params(UserPath),
    responses(
        (status = 200, description = "As docs/operations.md lists", body = Object),
        (status = 429, description = "export_in_progress", body = openapi::Error)
    )
)]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    UserPath(id): UserPath,
) -> Result<Response, ApiError> {
    let (caller, user) = account(&app, caller, id).await?;
    let caller = caller.with(Scope::Read)?;
    // Administrators do not get to read documents.
    let with_texts = user.id == caller.user();
    let export = app.exports.place(user.id)?;
    let entry = Entry::new(AuditAction::AccountExported).user(user.id);
    let place = app.auditor.place().await?;
    app.auditor.stored(place, caller.actor, entry).await;
    let exporter = Exporter {
        catalog: app.catalog.clone(),
        log: Arc::clone(app.collab.log()),
        with_texts,
    };
    let pieces = exporter.export(user.id, Some(export), app.now_ms());
    // An error in the middle breaks the answer off, so nobody takes a part for the whole.
    let pieces = stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.recv().await?;
        if let Err(error) = &piece {
            tracing::error!(?error, "a copy of a person's data was not completed");
        }
        Some((piece, pieces))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"motet-export.json\"",
        ),
    ];
    Ok((headers, Stream::from_stream(pieces)).into_response())
}

/// Erases a person: returns once nobody can read of them any more. Files are overwritten in a while.
#[utoipa::path(
    post,
    path = "/users/{id}/erase",
    operation_id = "eraseUser",
    tag = "users",
    params(UserPath),
    request_body = Erasure,
    responses(
        (status = 204, description = "The person is erased"),
        (status = 409, description = "last_administrator", body = openapi::Error)
    )
)]
pub(super) async fn erase(
    State(app): State<Arc<App>>,
    caller: Caller,
    UserPath(id): UserPath,
    Body(Erasure {
        password,
        transfer_to,
    }): Body<Erasure>,
) -> Result<StatusCode, ApiError> {
    let (caller, user) = account(&app, caller, id).await?;
    if user.id == caller.user() {
        match (password, &user.password_hash) {
            (Some(password), Some(_)) => check_password(&app, &caller, password).await?,
            (None, Some(_)) => return Err(ApiError::invalid("password must be given")),
            // Who has none has signed in elsewhere; a key alone is not enough.
            (_, None) if matches!(caller.principal.credential, Credential::Token { .. }) => {}
            (_, None) => return Err(ApiError::forbidden("an API key may not do this")),
        }
    }
    let heir = match transfer_to {
        Some(email) => {
            let heir = app.catalog.user_by_email(email.trim()).await?;
            let heir = heir.filter(|heir| heir.organization == user.organization);
            Some(heir.ok_or_else(|| ApiError::not_found("account to transfer to"))?)
        }
        None => None,
    };
    // Administrators do not get to read documents, so they do not get them either.
    if heir.as_ref().is_some_and(|heir| heir.id == caller.user()) {
        return Err(ApiError::invalid("transferTo must be somebody else"));
    }
    to_the_end(async move {
        let heir = heir.map(|heir| heir.id);
        app.catalog
            .begin_erasure(&caller.actor, user.id, heir, false)
            .await?;
        app.eraser.erase_all().await?;
        if let Err(error) = app.eraser.scrub_if_due().await {
            tracing::error!(?error, "files are not overwritten; it will be tried again");
        }
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

//! `/auth/providers`: signing in with OpenID Connect providers.

use std::sync::Arc;

use axum::{Json, extract::State};
use motet_catalog::{Actor, CatalogError, ProviderAttempt, User};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    ApiError, App, Remote,
    accounts::{SignedIn, failed, hash, sign_in},
    extract::{Body, ProviderPath, Visitor},
    openapi,
};
use crate::{
    auth::{OutsiderError, ProviderError, Return},
    refusals::Who,
};

/// How long a person may take at the provider.
const ATTEMPT_MS: u64 = 10 * 60 * 1_000;

/// The page of the web application to which providers send people back.
const CALLBACK: &str = "/sign-in/callback";

/// How people may sign in.
#[derive(Serialize, ToSchema)]
pub(super) struct Offered {
    providers: Vec<OfferedProvider>,
    /// Whether anyone may register with a password.
    registration: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfferedProvider {
    provider_id: String,
    name: String,
}

/// Where the browser is to go.
#[derive(Serialize, ToSchema)]
pub(super) struct Begun {
    url: String,
    /// Comes back with the browser, which must compare it: otherwise somebody else's sign-in could be put
    /// under a person.
    state: String,
}

/// What the provider sent back.
#[derive(Deserialize, ToSchema)]
pub(super) struct Returned {
    code: String,
    state: String,
}

/// Nothing, as an object.
#[derive(Deserialize, ToSchema)]
pub(super) struct Nothing {}

/// How people may sign in.
#[utoipa::path(
    get,
    path = "/auth/providers",
    operation_id = "listProviders",
    tag = "auth",
    security(()),
    responses((status = 200, description = "What this server offers", body = Offered))
)]
pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Offered> {
    let providers = app.providers.iter().map(|(id, name)| OfferedProvider {
        provider_id: id.to_owned(),
        name: name.to_owned(),
    });
    Json(Offered {
        providers: providers.collect(),
        registration: app.registration,
    })
}

/// Begins a sign-in with a provider.
#[utoipa::path(
    post,
    path = "/auth/providers/{provider}/begin",
    operation_id = "beginSignIn",
    tag = "auth",
    security(()),
    params(("provider" = String, Path)),
    request_body = Nothing,
    responses((status = 200, description = "Where the browser is to go", body = Begun))
)]
pub(super) async fn begin(
    State(app): State<Arc<App>>,
    remote: Remote,
    ProviderPath(provider): ProviderPath,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Json<Begun>, ApiError> {
    let now_ms = app.now_ms();
    let redirect_uri = match &app.public_url {
        Some(url) => format!("{}{CALLBACK}", url.trim_end_matches('/')),
        None => format!("{}{CALLBACK}", remote.origin().unwrap_or_default()),
    };
    let begun = app
        .providers
        .begin(&provider, &redirect_uri, now_ms)
        .await?;
    let attempt = ProviderAttempt {
        state_hash: hash(&begun.state),
        provider,
        nonce: begun.nonce,
        pkce_verifier: begun.pkce_verifier,
        redirect_uri,
        expires_at_ms: now_ms + ATTEMPT_MS,
    };
    app.catalog.begin_provider_attempt(&attempt, now_ms).await?;
    Ok(Json(Begun {
        url: begun.url,
        state: begun.state,
    }))
}

/// Ends a sign-in with what the provider sent back with the browser.
#[utoipa::path(
    post,
    path = "/auth/providers/{provider}/finish",
    operation_id = "finishSignIn",
    tag = "auth",
    security(()),
    params(("provider" = String, Path)),
    request_body = Returned,
    responses(
        (status = 200, description = "Signed in", body = SignedIn),
        (status = 401, description = "The provider does not confirm it, or it took too long", body = openapi::Error),
        (status = 403, description = "The account is disabled", body = openapi::Error),
        (status = 409, description = "Another account has this address", body = openapi::Error),
    )
)]
pub(super) async fn finish(
    State(app): State<Arc<App>>,
    Visitor { actor, network }: Visitor,
    ProviderPath(provider): ProviderPath,
    Body(returned): Body<Returned>,
) -> Result<Json<SignedIn>, ApiError> {
    let failure = match confirmed(&app, &actor, &provider, &returned).await {
        Ok(user) if user.is_active() => {
            let actor = Actor {
                user: Some(user.id),
                organization: user.organization,
                ..actor
            };
            let by = format!("provider {provider}");
            let signed_in = sign_in(&app, &actor, user.id, &user.name, None, &by).await?;
            return Ok(Json(signed_in));
        }
        Ok(user) => Failure {
            reason: Some("disabled"),
            user: Some(user),
            error: ApiError::account_disabled(),
        },
        Err(failure) => failure,
    };
    // What is no provider's name is a stranger's text.
    if let Some(reason) = failure.reason
        && app.providers.iter().any(|(id, _)| id == provider)
    {
        let details = json!({ "by": format!("provider {provider}"), "reason": reason });
        let (actor, entry) = failed(actor, failure.user.as_ref(), details);
        app.refusals
            .note(Who::Network(network), actor, entry)
            .await?;
    }
    Err(failure.error)
}

/// Why somebody is not signed in.
struct Failure {
    /// For the audit trail; `None`: nobody was refused, but could not be asked about.
    reason: Option<&'static str>,
    /// Whose account it is, if that is known.
    user: Option<User>,
    error: ApiError,
}

impl<E: Into<ApiError>> From<(Option<&'static str>, E)> for Failure {
    fn from((reason, error): (Option<&'static str>, E)) -> Self {
        Self {
            reason,
            user: None,
            error: error.into(),
        }
    }
}

/// Whose account the provider says that it is.
async fn confirmed(
    app: &App,
    actor: &Actor,
    provider: &str,
    returned: &Returned,
) -> Result<User, Failure> {
    let now_ms = app.now_ms();
    let state = hash(&returned.state);
    let taken = app
        .catalog
        .take_provider_attempt(provider, &state, now_ms)
        .await;
    let attempt = taken.map_err(|error| match error {
        CatalogError::NotFound { .. } => (Some("too_late"), ApiError::sign_in_too_late()),
        error => (None, error.into()),
    })?;
    let returned = Return {
        code: &returned.code,
        nonce: &attempt.nonce,
        pkce_verifier: &attempt.pkce_verifier,
        redirect_uri: &attempt.redirect_uri,
    };
    let claims = app.providers.finish(provider, returned, now_ms).await;
    let claims = claims.map_err(|error| {
        let reason = match &error {
            ProviderError::Refused(_) => Some("refused"),
            ProviderError::Invalid(_) => Some("invalid"),
            _ => None,
        };
        (reason, error)
    })?;
    let account = app.authority.account_of(&claims, &actor.address).await;
    Ok(account.map_err(|error| {
        let reason = match &error {
            OutsiderError::EmailTaken => Some("email_taken"),
            OutsiderError::OtherOrganization => Some("other_organization"),
            OutsiderError::Unavailable(_) => None,
        };
        (reason, error)
    })?)
}

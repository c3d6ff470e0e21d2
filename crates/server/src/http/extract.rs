//! What handlers take out of a request, with our errors.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Path, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use motet_catalog::Actor;
use motet_model::{ApiKeyId, DocumentId, GroupId, LinkId, OrganizationId, SessionId, UserId};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::error::Category;
use utoipa::IntoParams;

use super::{ApiError, App, Remote, openapi};
use crate::{
    auth::{Principal, Scope, names::misleads},
    entropy,
};

/// Who asks, with a valid token or key: a request without does not get past this.
pub(super) struct Caller {
    pub(super) principal: Arc<Principal>,
    /// The same to the catalog.
    pub(super) actor: Actor,
    /// What counts as one client in limits.
    pub(super) network: IpAddr,
}

impl Caller {
    /// The caller's credential must be good for `scope`.
    pub(super) fn with(self, scope: Scope) -> Result<Self, ApiError> {
        if self.principal.scopes.has(scope) {
            Ok(self)
        } else {
            Err(ApiError::missing_scope(scope))
        }
    }

    /// The account's id.
    pub(super) fn user(&self) -> UserId {
        self.principal.user
    }
}

/// Whoever asks, without a token.
pub(super) struct Visitor {
    pub(super) actor: Actor,
    /// What counts as one client in limits.
    pub(super) network: IpAddr,
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Ok(remote) = Remote::from_request_parts(parts, app).await;
        let actor = Actor {
            user: None,
            organization: OrganizationId::DEFAULT,
            address: remote.address.to_string(),
            nonce: entropy::bytes(),
            at_ms: app.now_ms(),
        };
        Ok(Self {
            actor,
            network: remote.network(),
        })
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let verified = match parts.extensions.get::<Verified>() {
            Some(verified) => verified.clone(),
            None => Verified::of(app, &parts.headers).await,
        };
        let principal = verified.0?;
        let visitor = Visitor::from_request_parts(parts, app).await?;
        let actor = Actor {
            user: Some(principal.user),
            organization: principal.organization,
            ..visitor.actor
        };
        Ok(Self {
            principal,
            actor,
            network: visitor.network,
        })
    }
}

/// What a request's token turned out to be: looked at once, and kept with the request.
#[derive(Clone)]
pub(super) struct Verified(pub(super) Result<Arc<Principal>, ApiError>);

impl Verified {
    pub(super) async fn of(app: &App, headers: &HeaderMap) -> Self {
        Self(verify(app, headers).await)
    }
}

async fn verify(app: &App, headers: &HeaderMap) -> Result<Arc<Principal>, ApiError> {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|it| it.to_str().ok());
    let (scheme, token) = value
        .and_then(|it| it.split_once(' '))
        .ok_or_else(ApiError::unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(ApiError::unauthenticated());
    }
    Ok(Arc::new(app.authority.authenticate(token.trim()).await?))
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        declared_json(request.headers())?;
        let bytes = Bytes::from_request(request, app).await.map_err(|error| {
            match axum::response::IntoResponse::into_response(error).status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large("the body is over its limit"),
                _ => ApiError::invalid("the body could not be read"),
            }
        })?;
        // A derived struct could also be read from an array of its fields' values.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(match serde_json::from_slice::<IgnoredAny>(&bytes) {
                Ok(IgnoredAny) => ApiError::invalid("the body must be a JSON object"),
                Err(_) => ApiError::invalid_json(),
            });
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| match error.classify() {
                Category::Data => {
                    ApiError::invalid("a field is missing, given twice or of the wrong kind")
                }
                _ => ApiError::invalid_json(),
            })
    }
}

/// A body must say that it is JSON: a page from elsewhere cannot make a browser say so unasked.
pub(super) fn declared_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let declared = headers
        .get(header::CONTENT_TYPE)
        .and_then(|it| it.to_str().ok());
    let essence = declared
        .and_then(|it| it.split(';').next())
        .unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(ApiError::not_json())
    }
}

/// Who asks, if with a token. One that is not valid is refused all the same.
impl OptionalFromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Option<Self>, ApiError> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(None);
        }
        let caller = <Self as FromRequestParts<_>>::from_request_parts(parts, app);
        caller.await.map(Some)
    }
}

/// Who asks, and manages their organization.
pub(super) struct Administrator(pub(super) Caller);

impl FromRequestParts<Arc<App>> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = <Caller as FromRequestParts<_>>::from_request_parts(parts, app).await?;
        if !caller.principal.administrator {
            return Err(ApiError::forbidden("only administrators may do this"));
        }
        caller.with(Scope::Manage).map(Self)
    }
}

/// A path with one id in it. One that cannot be is one that is not there.
macro_rules! id_path {
    ($name:ident, $id:ty, $what:literal) => {
        #[doc = concat!("The ", $what, " of the path.")]
        #[derive(IntoParams)]
        #[into_params(names("id"), parameter_in = Path)]
        pub(super) struct $name(#[param(value_type = openapi::Id)] pub(super) $id);

        impl FromRequestParts<Arc<App>> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(
                parts: &mut Parts,
                app: &Arc<App>,
            ) -> Result<Self, ApiError> {
                let path =
                    <Path<String> as FromRequestParts<_>>::from_request_parts(parts, app).await;
                let id = path.ok().and_then(|Path(id)| id.parse().ok());
                id.map(Self).ok_or_else(|| ApiError::not_found($what))
            }
        }
    };
}

/// A path with two ids in it.
macro_rules! ids_path {
    ($name:ident, $outer:ty, $inner:ty, $inner_name:literal, $what:literal) => {
        #[doc = concat!("The ", $what, " of the path, and what it belongs to before.")]
        #[derive(IntoParams)]
        #[into_params(names("id", $inner_name), parameter_in = Path)]
        pub(super) struct $name(
            #[param(value_type = openapi::Id)] pub(super) $outer,
            #[param(value_type = openapi::Id)] pub(super) $inner,
        );

        impl FromRequestParts<Arc<App>> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(
                parts: &mut Parts,
                app: &Arc<App>,
            ) -> Result<Self, ApiError> {
                let path =
                    <Path<(String, String)> as FromRequestParts<_>>::from_request_parts(parts, app)
                        .await;
                let ids = path.ok().and_then(|Path((outer, inner))| {
                    Some((outer.parse().ok()?, inner.parse().ok()?))
                });
                ids.map(|(outer, inner)| Self(outer, inner))
                    .ok_or_else(|| ApiError::not_found($what))
            }
        }
    };
}

/// A path with a word in it. One that is no text is one that is not there.
macro_rules! word_path {
    ($name:ident, $what:literal) => {
        #[doc = concat!("The ", $what, " of the path.")]
        pub(super) struct $name(pub(super) String);

        impl FromRequestParts<Arc<App>> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(
                parts: &mut Parts,
                app: &Arc<App>,
            ) -> Result<Self, ApiError> {
                let path =
                    <Path<String> as FromRequestParts<_>>::from_request_parts(parts, app).await;
                let word = path.map(|Path(word)| Self(word));
                word.map_err(|_| ApiError::not_found($what))
            }
        }
    };
}

word_path!(TokenPath, "link");
word_path!(AvatarPath, "avatar");
word_path!(ProviderPath, "provider");
id_path!(DocumentPath, DocumentId, "document");
id_path!(UserPath, UserId, "account");
id_path!(GroupPath, GroupId, "group");
id_path!(SessionPath, SessionId, "session");
id_path!(ApiKeyPath, ApiKeyId, "API key");
ids_path!(GrantPath, DocumentId, UserId, "whom", "grant");
ids_path!(LinkPath, DocumentId, LinkId, "link", "link");
ids_path!(MemberPath, GroupId, UserId, "user", "member");

/// Tells `null` from what is not there.
pub(super) fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Deserialize::deserialize(deserializer).map(Some)
}

/// A time to come, in RFC 3339, as ms since the Unix epoch.
pub(super) fn time(name: &str, value: &str, now_ms: u64) -> Result<u64, ApiError> {
    let time = humantime::parse_rfc3339(value).ok();
    let since_epoch = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let time_ms = since_epoch.and_then(|time| u64::try_from(time.as_millis()).ok());
    time_ms.filter(|time_ms| *time_ms > now_ms).ok_or_else(|| {
        ApiError::invalid(format!(
            "{name} must be a time to come, like 2030-01-31T12:00:00Z"
        ))
    })
}

/// Text of a person: trimmed, of 1 to `chars_max` characters, none of which [`misleads`].
pub(super) fn text(name: &str, value: &str, chars_max: usize) -> Result<String, ApiError> {
    let value = value.trim();
    let len = value.chars().count();
    if len == 0 || len > chars_max || value.chars().any(misleads) {
        let message = format!(
            "{name} must have 1 to {chars_max} characters, and no control characters, nor such as \
             change the direction of text"
        );
        return Err(ApiError::invalid(message));
    }
    Ok(value.to_owned())
}

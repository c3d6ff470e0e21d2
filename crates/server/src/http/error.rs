//! Errors as clients see them: a status, a permanent code, a sentence. Causes are logged, never sent.

use std::borrow::Cow;

use axum::{
    Json,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use motet_catalog::CatalogError;
use motet_document::Reject;
use motet_protocol::ErrorCode;
use serde_json::json;

use crate::{
    audit::Full,
    auth::{
        AuthenticationError, AuthorizationError, Busy, LockoutError, OutsiderError, ProviderError,
        Scope,
    },
    collab::{CollabError, EditError, Refusal},
    entropy,
    erasure::ErasureError,
    export::ExportRefused,
    nodes::ForwardError,
};

/// What `Retry-After` says: whatever is in the way mostly takes no longer.
const RETRY_AFTER_S: u64 = 1;
/// The same where a copy of somebody's data is: it reads much.
const EXPORT_RETRY_AFTER_S: u64 = 10;

/// A refusal. [`finish`] writes its body, which names the request.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    /// When to come back, if that is known.
    retry_after_s: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after_s: None,
        }
    }

    pub(super) fn invalid_json() -> Self {
        let message = "the body is not JSON";
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", message)
    }

    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(super) fn not_json() -> Self {
        let message = "the body must be declared as application/json";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid_request",
            message,
        )
    }

    pub(super) fn not_an_image() -> Self {
        let message = "the body must be a PNG, JPEG or WebP image";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid_request",
            message,
        )
    }

    pub(super) fn too_large(message: &'static str) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(super) fn unauthenticated() -> Self {
        let message = "a valid token is needed";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    pub(super) fn invalid_credentials() -> Self {
        let message = "e-mail and password do not match an account";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_credentials", message)
    }

    pub(super) fn missing_scope(scope: Scope) -> Self {
        let message = format!("the API key lacks the scope {}", scope.as_str());
        Self::new(StatusCode::FORBIDDEN, "missing_scope", message)
    }

    pub(super) fn account_disabled() -> Self {
        let message = "the account is disabled: ask the administrator";
        Self::new(StatusCode::FORBIDDEN, "account_disabled", message)
    }

    pub(super) fn sign_in_too_late() -> Self {
        let message = "this sign-in was used, or took too long: begin anew";
        Self::new(StatusCode::UNAUTHORIZED, "sign_in_refused", message)
    }

    pub(super) fn password_required() -> Self {
        let message = "this link has a password";
        Self::new(StatusCode::UNAUTHORIZED, "password_required", message)
    }

    pub(super) fn invalid_password() -> Self {
        let message = "the password is wrong";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_password", message)
    }

    pub(super) fn other_organization() -> Self {
        let message = "this link is another organization's: open it signed out, as a guest";
        Self::new(StatusCode::FORBIDDEN, "other_organization", message)
    }

    pub(super) fn idempotency_key_in_use() -> Self {
        let message = "a request with this key is under way: ask again in a moment";
        Self::new(StatusCode::CONFLICT, "idempotency_key_in_use", message)
    }

    pub(super) fn idempotency_key_used() -> Self {
        let message = "this was done, and its answer held a secret that is not kept";
        Self::new(StatusCode::CONFLICT, "idempotency_key_used", message)
    }

    pub(super) fn idempotency_key_reused() -> Self {
        let message = "another request had this key: every act needs its own";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "idempotency_key_reused", message)
    }

    pub(super) fn precondition_failed() -> Self {
        let message = "the document is not as If-Match says";
        let status = StatusCode::PRECONDITION_FAILED;
        Self::new(status, "precondition_failed", message)
    }

    pub(super) fn forbidden(message: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no such {what}"),
        )
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "this path does not take this method";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
        )
    }

    /// What limits say of when to come back stands in the headers.
    pub(super) fn rate_limited() -> Self {
        let message = "too many requests: slow down";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
    }

    pub(super) fn origin_not_allowed() -> Self {
        let message = "pages of this origin may not connect: allowed_origins lists those that may";
        Self::new(StatusCode::FORBIDDEN, "origin_not_allowed", message)
    }

    pub(super) fn too_many_documents() -> Self {
        let message = "this account owns as many documents as it may";
        Self::new(StatusCode::FORBIDDEN, "too_many_documents", message)
    }

    /// The sentence, for the command line.
    pub(super) fn message(&self) -> String {
        self.message.to_string()
    }

    pub(super) fn unavailable() -> Self {
        let message = "try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    pub(super) fn failed(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %cause, cause = ?cause.source(), "a request failed");
        Self::unavailable()
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> Self {
        let code = match error {
            EditError::Refused(ErrorCode::NotFound) => return Self::not_found("document"),
            EditError::Refused(ErrorCode::RevisionAhead) => ErrorCode::RevisionAhead,
            EditError::Refused(_) | EditError::Unknown => return Self::unavailable(),
            EditError::Rejected(reject) => match reject {
                Reject::Outdated { .. } => {
                    return Self::new(StatusCode::CONFLICT, "outdated", reject.to_string());
                }
                Reject::ReadOnly => return Self::forbidden("the caller may not edit"),
                reject => crate::collab::code(&reject),
            },
        };
        let status = match code {
            ErrorCode::DocumentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::Internal => return Self::failed(&error),
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, code.as_str(), error.to_string())
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::EmailTaken => {
                Self::new(StatusCode::CONFLICT, "email_taken", error.to_string())
            }
            CatalogError::LastAdministrator => Self::new(
                StatusCode::CONFLICT,
                "last_administrator",
                "let another member manage the organization first",
            ),
            CatalogError::NotFound { what } => Self::not_found(what),
            CatalogError::TooMany { .. } => Self::invalid(error.to_string()),
            CatalogError::LinkFull { .. } => {
                Self::new(StatusCode::FORBIDDEN, "link_full", error.to_string())
            }
            CatalogError::LinkDenied => {
                Self::new(StatusCode::FORBIDDEN, "link_denied", error.to_string())
            }
            CatalogError::SignInVoid => Self::invalid_credentials(),
            // Said once, by who found out.
            CatalogError::Away => Self::unavailable(),
            error => Self::failed(&error),
        }
    }
}

/// It is recorded, and tried again without being asked.
impl From<ErasureError> for ApiError {
    fn from(error: ErasureError) -> Self {
        Self::failed(&error)
    }
}

impl From<ExportRefused> for ApiError {
    fn from(refused: ExportRefused) -> Self {
        match refused {
            ExportRefused::Twice => Self {
                retry_after_s: Some(EXPORT_RETRY_AFTER_S),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "export_in_progress",
                    "a copy of this account is being made: wait for its end",
                )
            },
            ExportRefused::Busy => Self {
                retry_after_s: Some(EXPORT_RETRY_AFTER_S),
                ..Self::unavailable()
            },
        }
    }
}

impl From<Full> for ApiError {
    fn from(error: Full) -> Self {
        Self::failed(&error)
    }
}

impl From<CollabError> for ApiError {
    fn from(error: CollabError) -> Self {
        match error {
            CollabError::Catalog(error) => error.into(),
            error => Self::failed(&error),
        }
    }
}

impl From<ForwardError> for ApiError {
    fn from(error: ForwardError) -> Self {
        match error {
            // Its connections ended with it.
            ForwardError::Gone(_) => Refusal::Gone.into(),
            error => {
                tracing::warn!(%error, "a request was not passed on to its node");
                Self::unavailable()
            }
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Gone => Self::new(
                StatusCode::GONE,
                "connection_gone",
                "there is no such connection any more: open a new one",
            ),
            Refusal::Busy => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_frames",
                "too much of this connection waits: send the frame again in a moment",
            ),
            Refusal::TooLarge => Self::too_large("the frame is over the limit"),
        }
    }
}

impl From<Busy> for ApiError {
    fn from(Busy: Busy) -> Self {
        Self::unavailable()
    }
}

impl From<LockoutError> for ApiError {
    fn from(error: LockoutError) -> Self {
        match error {
            LockoutError::Locked { wait_ms } => Self {
                retry_after_s: Some(wait_ms.div_ceil(1_000)),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_attempts",
                    "too many attempts have failed: wait before the next",
                )
            },
            LockoutError::Unavailable(error) => error.into(),
        }
    }
}

impl From<AuthenticationError> for ApiError {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Invalid => Self::unauthenticated(),
            AuthenticationError::Expired => Self::new(
                StatusCode::UNAUTHORIZED,
                "token_expired",
                "the token has expired",
            ),
            AuthenticationError::Undated => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "the token must say when it was issued: its issuer has to add iat (or nbf)",
            ),
            AuthenticationError::Disabled => Self::account_disabled(),
            AuthenticationError::Unreachable => Self::unavailable(),
            AuthenticationError::Unavailable(error) => error.into(),
        }
    }
}

impl From<ProviderError> for ApiError {
    fn from(error: ProviderError) -> Self {
        tracing::info!(%error, "a sign-in with a provider failed");
        match error {
            ProviderError::Unknown => Self::not_found("provider"),
            ProviderError::Unavailable => Self::unavailable(),
            ProviderError::InvalidRedirect => {
                Self::invalid("this server does not know by which address it is called")
            }
            _ => Self::new(
                StatusCode::UNAUTHORIZED,
                "sign_in_refused",
                "the provider did not confirm who you are: try again",
            ),
        }
    }
}

impl From<OutsiderError> for ApiError {
    fn from(error: OutsiderError) -> Self {
        match error {
            OutsiderError::Unavailable(error) => error.into(),
            OutsiderError::EmailTaken => CatalogError::EmailTaken.into(),
            error => Self::new(StatusCode::FORBIDDEN, "forbidden", error.to_string()),
        }
    }
}

impl From<AuthorizationError> for ApiError {
    fn from(error: AuthorizationError) -> Self {
        match error {
            AuthorizationError::NotFound => Self::not_found("document"),
            AuthorizationError::Forbidden { needed } => Self::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("this needs the role {needed}"),
            ),
            AuthorizationError::Scope { needed } => Self::missing_scope(needed),
            AuthorizationError::Unavailable(error) => error.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Names each request, and writes the bodies of errors.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let id = entropy::token::<12>();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if let Some(ApiError {
        status,
        code,
        message,
        retry_after_s,
    }) = response.extensions_mut().remove()
    {
        tracing::info!(request = %id, %method, path, status = status.as_u16(), code, "refused");
        let body = json!({ "error": { "code": code, "message": message, "requestId": id } });
        // What those within have said of it stays.
        let mut said = std::mem::take(response.headers_mut());
        response = (status, Json(body)).into_response();
        said.extend(std::mem::take(response.headers_mut()));
        *response.headers_mut() = said;
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            let retry_after = response.headers_mut().entry(header::RETRY_AFTER);
            retry_after.or_insert(retry_after_s.unwrap_or(RETRY_AFTER_S).into());
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

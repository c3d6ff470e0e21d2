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
    auth::{Busy, TokenError},
    collab::{CollabError, EditError, Refusal},
    entropy,
};

/// What `Retry-After` says: whatever is in the way mostly takes no longer.
const RETRY_AFTER_S: &str = "1";

/// A refusal. [`finish`] writes its body, which names the request.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
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

    /// The sentence, for the command line.
    pub(super) fn message(&self) -> String {
        self.message.to_string()
    }

    pub(super) fn unavailable() -> Self {
        let message = "try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    fn failed(cause: &dyn std::error::Error) -> Self {
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
            CatalogError::NotFound { what } => Self::not_found(what),
            error => Self::failed(&error),
        }
    }
}

impl From<CollabError> for ApiError {
    fn from(error: CollabError) -> Self {
        Self::failed(&error)
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

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => Self::unauthenticated(),
            TokenError::Expired => Self::new(
                StatusCode::UNAUTHORIZED,
                "token_expired",
                "the token has expired",
            ),
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
    }) = response.extensions_mut().remove()
    {
        tracing::info!(request = %id, %method, path, status = status.as_u16(), code, "refused");
        let body = json!({ "error": { "code": code, "message": message, "requestId": id } });
        response = (status, Json(body)).into_response();
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

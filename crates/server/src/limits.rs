//! Every limit with its value, for people who look after a server.

use motet_model::limits as fixed;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{config::Config, http};

/// A limit. One of 0 is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Limit {
    /// The setting's name, or for what is fixed one like it.
    pub(crate) name: &'static str,
    pub(crate) value: u64,
    /// What is counted: the unit of the value.
    pub(crate) unit: &'static str,
}

/// All limits: those that are settings first.
pub(crate) fn limits(config: &Config) -> Vec<Limit> {
    let limit = |name, value, unit| Limit { name, value, unit };
    let size = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    vec![
        limit(
            "user_requests_per_minute_max",
            config.user_requests_per_minute_max.into(),
            "requests per minute",
        ),
        limit(
            "address_requests_per_minute_max",
            config.address_requests_per_minute_max.into(),
            "requests per minute",
        ),
        limit(
            "address_sign_ins_per_minute_max",
            config.address_sign_ins_per_minute_max.into(),
            "attempts per minute",
        ),
        limit(
            "submissions_per_second_max",
            config.submissions_per_second_max.into(),
            "submissions per second",
        ),
        limit(
            "bytes_per_second_max",
            config.bytes_per_second_max.into(),
            "bytes per second",
        ),
        limit(
            "sessions_per_document_max",
            size(config.sessions_per_document_max),
            "sessions",
        ),
        limit(
            "sessions_per_user_max",
            size(config.sessions_per_user_max),
            "sessions",
        ),
        limit(
            "documents_per_user_max",
            config.documents_per_user_max,
            "documents",
        ),
        limit(
            "guests_per_link_max",
            config.guests_per_link_max.into(),
            "guests",
        ),
        limit("message_bytes_max", size(config.message_bytes_max), "bytes"),
        limit("update_bytes_max", size(config.update_bytes_max), "bytes"),
        limit("body_bytes_max", size(http::BODY_BYTES_MAX), "bytes"),
        limit(
            "messages_per_frame_max",
            size(fixed::MESSAGES_PER_FRAME_MAX),
            "messages",
        ),
        limit(
            "document_bytes_max",
            size(fixed::DOCUMENT_BYTES_MAX),
            "bytes",
        ),
        limit(
            "document_len_utf16_max",
            size(fixed::DOCUMENT_LEN_UTF16_MAX),
            "UTF-16 units",
        ),
        limit("outbox_bytes_max", size(fixed::OUTBOX_BYTES_MAX), "bytes"),
    ]
}

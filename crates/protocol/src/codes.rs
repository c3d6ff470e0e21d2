/// Why a message was refused or a connection ended. The text form is permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The frame is not JSON, or not an object or an array of objects.
    InvalidJson,
    /// A field is missing, or of the wrong kind.
    InvalidMessage,
    /// No such message type.
    UnknownType,
    /// The delta is malformed.
    InvalidOperation,
    /// A position that the document does not have.
    OutOfRange,
    /// An operation would cut a surrogate pair.
    SplitSurrogate,
    /// The base is later than the head.
    RevisionAhead,
    /// Too much has been committed since the base for a delta of this size: join from the base anew,
    /// with `pending`.
    TooFarBehind,
    /// As `TooFarBehind`, and from before changes had identities: it cannot be merged.
    BaseTooOld,
    /// A `seq` of 0, or one used before.
    SeqReused,
    /// The document would grow past its limit.
    DocumentTooLarge,
    /// A Yjs update that is none, or that makes what only the server makes.
    InvalidUpdate,
    /// The session may not edit.
    ReadOnly,
    /// A message for a document that the connection has not joined.
    NotJoined,
    /// A second join of one document.
    AlreadyJoined,
    /// More documents than one connection may join.
    TooManyDocuments,
    /// No such document, or not for this user.
    NotFound,
    /// The document has as many sessions as it may have.
    DocumentFull,
    /// The user has as many sessions as one may have.
    TooManySessions,
    /// The frame is over the limit.
    TooLarge,
    /// No token, or a bad one.
    Unauthenticated,
    /// The token's time is over.
    TokenExpired,
    /// The right to read is gone.
    Forbidden,
    /// Another connection took over the client id.
    Replaced,
    /// Nothing was heard for too long.
    Silent,
    /// The change could not be stored, or the server drains.
    Unavailable,
    /// A fault of the server.
    Internal,
}

impl ErrorCode {
    /// Every code, in the order of docs/protocol.md.
    pub const ALL: [Self; 27] = [
        Self::InvalidJson,
        Self::InvalidMessage,
        Self::UnknownType,
        Self::InvalidOperation,
        Self::OutOfRange,
        Self::SplitSurrogate,
        Self::RevisionAhead,
        Self::TooFarBehind,
        Self::BaseTooOld,
        Self::SeqReused,
        Self::DocumentTooLarge,
        Self::InvalidUpdate,
        Self::ReadOnly,
        Self::NotJoined,
        Self::AlreadyJoined,
        Self::TooManyDocuments,
        Self::NotFound,
        Self::DocumentFull,
        Self::TooManySessions,
        Self::TooLarge,
        Self::Unauthenticated,
        Self::TokenExpired,
        Self::Forbidden,
        Self::Replaced,
        Self::Silent,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The code as it is sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidMessage => "invalid_message",
            Self::UnknownType => "unknown_type",
            Self::InvalidOperation => "invalid_operation",
            Self::OutOfRange => "out_of_range",
            Self::SplitSurrogate => "split_surrogate",
            Self::RevisionAhead => "revision_ahead",
            Self::TooFarBehind => "too_far_behind",
            Self::BaseTooOld => "base_too_old",
            Self::SeqReused => "seq_reused",
            Self::DocumentTooLarge => "document_too_large",
            Self::InvalidUpdate => "invalid_update",
            Self::ReadOnly => "read_only",
            Self::NotJoined => "not_joined",
            Self::AlreadyJoined => "already_joined",
            Self::TooManyDocuments => "too_many_documents",
            Self::NotFound => "not_found",
            Self::DocumentFull => "document_full",
            Self::TooManySessions => "too_many_sessions",
            Self::TooLarge => "too_large",
            Self::Unauthenticated => "unauthenticated",
            Self::TokenExpired => "token_expired",
            Self::Forbidden => "forbidden",
            Self::Replaced => "replaced",
            Self::Silent => "silent",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The WebSocket close code with which this error ends a connection, where it does.
    #[must_use]
    pub const fn close_code(self) -> Option<u16> {
        match self {
            Self::InvalidMessage | Self::InvalidUpdate => Some(close::BAD_REQUEST),
            Self::DocumentTooLarge => Some(close::DOCUMENT_TOO_LARGE),
            Self::NotFound => Some(close::NOT_FOUND),
            Self::DocumentFull | Self::TooManySessions => Some(close::TRY_AGAIN_LATER),
            Self::TooLarge => Some(close::TOO_LARGE),
            Self::Unauthenticated | Self::TokenExpired => Some(close::UNAUTHENTICATED),
            Self::Forbidden => Some(close::FORBIDDEN),
            Self::Replaced => Some(close::REPLACED),
            Self::Silent => Some(close::SILENT),
            Self::Unavailable => Some(close::RESTART),
            Self::Internal => Some(close::INTERNAL),
            _ => None,
        }
    }
}

impl serde::Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// WebSocket close codes; 4400 to 4499: do not retry unchanged.
pub mod close {
    /// Done.
    pub const NORMAL: u16 = 1000;
    /// The client does not keep to the rules of WebSockets.
    pub const PROTOCOL: u16 = 1002;
    /// What it sends as text is not UTF-8.
    pub const NO_TEXT: u16 = 1007;
    /// The client asks without reading the answers.
    pub const POLICY: u16 = 1008;
    /// A message was too large.
    pub const TOO_LARGE: u16 = 1009;
    /// A fault of the server.
    pub const INTERNAL: u16 = 1011;
    /// The server restarts: come back at once.
    pub const RESTART: u16 = 1012;
    /// The document is full, or its user has too many sessions.
    pub const TRY_AGAIN_LATER: u16 = 1013;
    /// The request to join made no sense.
    pub const BAD_REQUEST: u16 = 4400;
    /// The token is missing, bad or expired.
    pub const UNAUTHENTICATED: u16 = 4401;
    /// Access was taken away.
    pub const FORBIDDEN: u16 = 4403;
    /// No such document.
    pub const NOT_FOUND: u16 = 4404;
    /// The client was silent.
    pub const SILENT: u16 = 4408;
    /// Another connection took over.
    pub const REPLACED: u16 = 4409;
    /// An edit would make the document, or is itself, larger than it may be, and its client cannot take
    /// it back.
    pub const DOCUMENT_TOO_LARGE: u16 = 4413;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_documented() {
        let docs = include_str!("../../../docs/protocol.md");
        let mut seen = std::collections::HashSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.as_str()), "{code} twice");
            assert!(
                docs.contains(&format!("`{code}`")),
                "docs/protocol.md lacks {code}"
            );
            if let Some(close) = code.close_code() {
                assert!(
                    docs.contains(&close.to_string()),
                    "docs/protocol.md lacks {close}"
                );
            }
        }
    }
}

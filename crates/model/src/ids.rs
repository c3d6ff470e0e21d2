//! Identifiers.
//!
//! Documents, users, sessions and what belongs to them are UUIDs of version 7 (RFC 9562): they sort by the
//! time they were made. A client chooses its own [`ClientId`].

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::CLIENT_ID_BYTES_MAX;

/// A text that is not the identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind} id")]
pub struct IdError {
    kind: &'static str,
    text: String,
}

impl IdError {
    fn new(kind: &'static str, text: &str) -> Self {
        // The text came from outside: keep the message short whatever it was.
        Self {
            kind,
            text: text.chars().take(CLIENT_ID_BYTES_MAX).collect(),
        }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an id from the time in ms since the Unix epoch and 10 random bytes.
            #[must_use]
            pub fn new(now_ms: u64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(now_ms, &random).into_uuid())
            }

            /// The id as 16 bytes, in the order in which ids sort.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            /// The id that [`Self::to_bytes`] gave.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                // Only the one form that `Display` writes: an id has one spelling.
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 && !text.contains(char::is_uppercase) => {
                        Ok(Self(uuid))
                    }
                    _ => Err(IdError::new($kind, text)),
                }
            }
        }
    };
}

uuid_id!(
    /// A document.
    DocumentId,
    "document"
);
uuid_id!(
    /// A user account.
    UserId,
    "user"
);
uuid_id!(
    /// A tenant: each account and each document belongs to one, and nothing crosses.
    OrganizationId,
    "organization"
);
uuid_id!(
    /// Accounts of one organization that are given rights together.
    GroupId,
    "group"
);
uuid_id!(
    /// A share link.
    LinkId,
    "link"
);
uuid_id!(
    /// A key with which a program acts for an account.
    ApiKeyId,
    "API key"
);
uuid_id!(
    /// One client on one document, from its join until it leaves.
    SessionId,
    "session"
);
uuid_id!(
    /// One running server among those that share a database, from its start to its end.
    NodeId,
    "node"
);

impl OrganizationId {
    /// The one that is always there; whoever registers belongs to it.
    pub const DEFAULT: Self = Self(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000));

    /// None: of acts by strangers, in the audit trail. No account or document has it.
    pub const NONE: Self = Self(Uuid::nil());
}

/// The name under which a client numbers its submissions to one document.
///
/// Chosen by the client, kept across its reconnects: with `seq` it makes a submission recognizable
/// when it is sent again. 1 to [`CLIENT_ID_BYTES_MAX`] ASCII letters, digits, `-` and `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=CLIENT_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(IdError::new("client", text))
        }
    }
}

impl TryFrom<String> for ClientId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.as_str().to_owned()
    }
}

impl From<SessionId> for ClientId {
    /// The client id of a session whose client named none.
    fn from(session: SessionId) -> Self {
        Self(session.to_string().into())
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_round_trip() {
        let early = DocumentId::new(1_000, [255; 10]);
        let late = DocumentId::new(1_001, [0; 10]);
        assert!(early < late);
        assert_eq!(late.to_string().parse(), Ok(late));
        assert_eq!(DocumentId::from_bytes(late.to_bytes()), late);
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = UserId::new(0x1234_5678_9abc, [0xab; 10]);
        let text = id.to_string();
        for wrong in [
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{{{text}}}"),
        ] {
            assert!(wrong.parse::<UserId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn client_ids_are_short_plain_words() {
        assert!("a-B_9".parse::<ClientId>().is_ok());
        assert!("x".repeat(CLIENT_ID_BYTES_MAX).parse::<ClientId>().is_ok());
        for wrong in ["", "a b", "é", &"x".repeat(CLIENT_ID_BYTES_MAX + 1)] {
            assert!(wrong.parse::<ClientId>().is_err(), "{wrong}");
        }
    }
}

//! Who there is, which documents there are, and who may do what with them.
//!
//! SQL that every supported database takes, SQLite and PostgreSQL: one text for each query, portable
//! types, `$1` for parameters. Which database it is, is said once, in [`Catalog::open`]; what differs
//! between them is in `database`, `holds`, `search` and `copy`.
//!
//! # Not here
//!
//! The content of documents (`log`), passwords and tokens as such (`server`): the catalog stores their
//! hashes. Times and ids come in as arguments.

mod action;
mod answers;
mod api_keys;
mod audit;
mod claims;
mod copy;
mod cursors;
mod database;
mod documents;
mod erasures;
mod failures;
mod grants;
mod guests;
mod holds;
mod identities;
mod links;
mod nodes;
mod organizations;
mod personal;
mod pool;
mod rights;
mod role;
mod scrub;
mod search;
mod signing_keys;
mod tokens;
mod users;

use sqlx::any::AnyRow;

use database::Database;
use pool::Pool;

pub use action::AuditAction;
pub use answers::{Answer, LOCK_MS, Turn};
pub use api_keys::ApiKey;
pub use audit::{Actor, AuditFilter, AuditRow, Entry, PastAct, Verification};
pub use copy::{CopiedTable, CopyError};
pub use cursors::TrailRow;
pub use documents::{Cursor, Document, DocumentFilter, NewDocument};
pub use erasures::Erasure;
pub use failures::Failures;
pub use grants::{Grant, GroupGrant, Removed};
pub use identities::{Identity, ProviderAttempt};
pub use links::{Link, NewLink};
pub use nodes::Node;
pub use organizations::{Group, Organization};
pub use personal::{GivenRight, OwnedDocument};
pub use rights::Rights;
pub use role::{Role, RoleError};
pub use search::{Hit, HitCursor, INDEXED_BYTES_MAX, Piece};
pub use signing_keys::SigningKey;
pub use tokens::{RefreshToken, Rotation};
pub use users::{Avatar, Kind, NewUser, ProfileChange, User};

/// The database of users and documents. Clones share it.
#[derive(Clone, Debug)]
pub struct Catalog {
    pool: Pool,
    database: Database,
}

/// Why the catalog did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// An account with this e-mail address exists. Choose another.
    #[error("an account with this e-mail address exists")]
    EmailTaken,
    /// The account's organization would have nobody who manages it. Let another manage it first.
    #[error("the account is the only one that manages its organization")]
    LastAdministrator,
    /// There is no such thing, or not for this user.
    #[error("there is no such {what}")]
    NotFound {
        /// What.
        what: &'static str,
    },
    /// As many guests have opened the link as may. Let somebody in by name, or make another link.
    #[error("a link may have at most {max} guests")]
    LinkFull {
        /// How many may open it.
        max: u32,
    },
    /// The document's owner has taken the account out since the link was made. Only they let it in again.
    #[error(
        "the document's owner has taken the account out, and this link does not let it in again"
    )]
    LinkDenied,
    /// There are as many as there may be. Remove one first.
    #[error("there may be at most {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: u32,
    },
    /// What a sign-in was based on does not hold any more. Sign in anew.
    #[error("the account has another password by now, or nobody may act with it")]
    SignInVoid,
    /// Its tables are those of an earlier program, and it is open only to read. Let this program open it to
    /// write once, which brings them up to date.
    #[error("the catalog's tables are those of an earlier program")]
    Outdated,
    /// The database was not to be had a moment ago, and is looked for. Retry later.
    #[error("the database is away")]
    Away,
    /// The database cannot be used, or what it holds makes no sense. Retry later.
    #[error("the catalog is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // What it belongs to was removed a moment ago.
            sqlx::Error::Database(refused) if refused.is_foreign_key_violation() => {
                let what = "account, document, group or link of this id";
                Self::NotFound { what }
            }
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

/// A column that holds an id, a role, … as text.
fn parsed<T>(row: &AnyRow, column: &str) -> Result<T, CatalogError>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    use sqlx::Row;
    let text: String = row.try_get(column)?;
    text.parse()
        .map_err(|error| CatalogError::Unavailable(Box::new(error)))
}

/// A column in which the empty text stands for none.
fn none_if_empty(row: &AnyRow, column: &str) -> Result<Option<String>, CatalogError> {
    use sqlx::Row;
    let text: String = row.try_get(column)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// What somebody looks for. Nothing is found by a text with U+0000, which PostgreSQL does not take.
fn sought(text: &str) -> &str {
    if text.contains('\0') {
        "\u{fffd}"
    } else {
        text
    }
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _written = write!(hex, "{byte:02x}");
        hex
    })
}

/// Times are stored as the signed integers that databases have.
fn stored(time_ms: u64) -> i64 {
    i64::try_from(time_ms).unwrap_or(i64::MAX)
}

fn time(row: &AnyRow, column: &str) -> Result<u64, CatalogError> {
    use sqlx::Row;
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

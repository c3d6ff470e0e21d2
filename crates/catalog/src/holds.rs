//! What a transaction holds, so that what it has read there stays true until it ends.
//!
//! SQLite lets one write at a time: whatever a transaction that writes has read stays true. PostgreSQL lets
//! many, so whoever reads something and then writes because of it holds a row that all who could make it
//! untrue hold or change as well. One who waits for a row sees what the other has done.
//!
//! # Invariants
//!
//! - **in order**: names, organizations, accounts, groups, documents, links, then all else, the end of the
//!   audit trail last. Who holds one takes none from before it, so nobody waits in a circle.

use sqlx::AnyConnection;

use crate::{CatalogError, database::Database};

/// Of which table a row is held, and by what.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Held {
    /// The organization of the account with this id.
    OrganizationOf,
    /// The account with this id.
    User,
    /// The account that has the refresh token with this hash.
    UserOf,
    Group,
    Document,
    Link,
    /// The links of the document with this id.
    LinksOf,
    /// The links that the account with this id has opened, or was taken out of.
    LinksWith,
}

impl Held {
    const fn select(self) -> &'static str {
        // Rows that refer to the one that is held may come and go.
        match self {
            Self::OrganizationOf => {
                "SELECT id FROM organizations
                 WHERE id = (SELECT organization_id FROM users WHERE id = $1) FOR NO KEY UPDATE"
            }
            Self::User => "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE",
            Self::UserOf => {
                "SELECT id FROM users WHERE id = (SELECT user_id FROM refresh_tokens WHERE hash = $1)
                 FOR NO KEY UPDATE"
            }
            Self::Group => "SELECT id FROM user_groups WHERE id = $1 FOR NO KEY UPDATE",
            Self::Document => "SELECT id FROM documents WHERE id = $1 FOR NO KEY UPDATE",
            Self::Link => "SELECT id FROM links WHERE id = $1 FOR NO KEY UPDATE",
            Self::LinksOf => {
                "SELECT id FROM links WHERE document_id = $1 ORDER BY id FOR NO KEY UPDATE"
            }
            Self::LinksWith => {
                "SELECT id FROM links
                 WHERE id IN (SELECT link_id FROM link_users WHERE user_id = $1
                              UNION ALL SELECT link_id FROM link_removals WHERE user_id = $1)
                 ORDER BY id FOR NO KEY UPDATE"
            }
        }
    }
}

/// Holds a row, or several, if they are there.
pub(crate) async fn hold(
    connection: &mut AnyConnection,
    row: Held,
    by: impl ToString,
) -> Result<(), CatalogError> {
    if Database::of(connection) == Database::Postgres {
        let held = sqlx::query(row.select()).bind(by.to_string());
        held.execute(connection).await?;
    }
    Ok(())
}

/// Holds a name: what is looked for and made if it is not there has no row to hold.
pub(crate) async fn hold_name(
    connection: &mut AnyConnection,
    name: &str,
) -> Result<(), CatalogError> {
    if Database::of(connection) == Database::Postgres {
        // Names of one schema only: a database may have more catalogs.
        sqlx::query(
            "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || $1, 0))",
        )
        .bind(name)
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// The end of the audit trail, held.
pub(crate) const fn head(database: Database) -> &'static str {
    match database {
        Database::Sqlite => "SELECT seq, hash FROM audit_head WHERE id = 1",
        Database::Postgres => "SELECT seq, hash FROM audit_head WHERE id = 1 FOR NO KEY UPDATE",
    }
}

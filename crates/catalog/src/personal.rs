//! What the catalog knows about one person, for the copy of their data that they may ask for.

use motet_model::{DocumentId, GroupId, LinkId, OrganizationId, UserId};
use sqlx::{Row, any::AnyRow};

use crate::{Catalog, CatalogError, Identity, Role, none_if_empty, parsed, time};

/// A document as its owner's data has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedDocument {
    /// Its id.
    pub id: DocumentId,
    /// Its title.
    pub title: String,
    /// What everyone in the organization may do with it.
    pub organization_role: Option<Role>,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it was last changed.
    pub updated_at_ms: u64,
    /// When it was put into the trash, if it was.
    pub deleted_at_ms: Option<u64>,
}

/// A right that was given to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenRight {
    /// On what.
    pub document: DocumentId,
    /// Its title.
    pub title: String,
    /// What it allows.
    pub role: Role,
    /// The link that gave it; `None`: the owner did.
    pub link: Option<LinkId>,
}

impl Catalog {
    /// The documents that the account owns, those in the trash too, in the order of their ids after
    /// `after`.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn owned_documents(
        &self,
        owner: UserId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<OwnedDocument>, CatalogError> {
        let rows = sqlx::query(
            "SELECT id, title, organization_role, created_at_ms, updated_at_ms, deleted_at_ms
             FROM documents WHERE owner_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(owner.to_string())
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let document = |row: &AnyRow| -> Result<OwnedDocument, CatalogError> {
            let open = none_if_empty(row, "organization_role")?;
            Ok(OwnedDocument {
                id: parsed(row, "id")?,
                title: row.try_get("title")?,
                organization_role: open.and_then(|role| role.parse().ok()),
                created_at_ms: time(row, "created_at_ms")?,
                updated_at_ms: time(row, "updated_at_ms")?,
                deleted_at_ms: Some(time(row, "deleted_at_ms")?).filter(|at_ms| *at_ms > 0),
            })
        };
        rows.iter().map(document).collect()
    }

    /// The documents of the organization that others than `owner` own, by id after `after`.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn documents_of_others(
        &self,
        organization: OrganizationId,
        owner: UserId,
        after: Option<DocumentId>,
        limit: u32,
    ) -> Result<Vec<DocumentId>, CatalogError> {
        let rows = sqlx::query(
            "SELECT id FROM documents WHERE organization_id = $1 AND owner_id <> $2 AND id > $3
             ORDER BY id LIMIT $4",
        )
        .bind(organization.to_string())
        .bind(owner.to_string())
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }

    /// What the account was given by others, by grants and by links.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn given_rights(&self, user: UserId) -> Result<Vec<GivenRight>, CatalogError> {
        let rows = sqlx::query(
            "SELECT d.id, d.title, g.role, '' AS link_id
             FROM grants g JOIN documents d ON d.id = g.document_id WHERE g.user_id = $1
             UNION ALL
             SELECT d.id, d.title, l.role, l.id AS link_id
             FROM link_users u JOIN links l ON l.id = u.link_id JOIN documents d ON d.id = l.document_id
             WHERE u.user_id = $1",
        )
        .bind(user.to_string())
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let right = |row: &AnyRow| -> Result<GivenRight, CatalogError> {
            let link = none_if_empty(row, "link_id")?;
            Ok(GivenRight {
                document: parsed(row, "id")?,
                title: row.try_get("title")?,
                role: parsed(row, "role")?,
                link: link.map(|_| parsed(row, "link_id")).transpose()?,
            })
        };
        rows.iter().map(right).collect()
    }

    /// The groups to which the account belongs, with their names.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn groups_of(&self, user: UserId) -> Result<Vec<(GroupId, String)>, CatalogError> {
        let rows = sqlx::query(
            "SELECT g.id, g.name FROM user_groups g JOIN group_members m ON m.group_id = g.id
             WHERE m.user_id = $1 ORDER BY g.name, g.id",
        )
        .bind(user.to_string())
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let group = |row: &AnyRow| Ok((parsed(row, "id")?, row.try_get("name")?));
        rows.iter().map(group).collect()
    }

    /// Who the account is to providers and issuers.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn identities(&self, user: UserId) -> Result<Vec<Identity>, CatalogError> {
        let rows = sqlx::query(
            "SELECT issuer, subject FROM identities WHERE user_id = $1 ORDER BY issuer, subject",
        )
        .bind(user.to_string())
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let identity = |row: &AnyRow| -> Result<Identity, CatalogError> {
            Ok(Identity {
                issuer: row.try_get("issuer")?,
                subject: row.try_get("subject")?,
            })
        };
        rows.iter().map(identity).collect()
    }

    /// When the account's sign-ins end that are not over: one time for each.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn sign_ins(&self, user: UserId, now_ms: u64) -> Result<Vec<u64>, CatalogError> {
        let rows = sqlx::query(
            "SELECT CAST(MAX(expires_at_ms) AS BIGINT) AS expires_at_ms FROM refresh_tokens
             WHERE user_id = $1 AND expires_at_ms > $2 GROUP BY family ORDER BY 1",
        )
        .bind(user.to_string())
        .bind(crate::stored(now_ms))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        rows.iter().map(|row| time(row, "expires_at_ms")).collect()
    }
}

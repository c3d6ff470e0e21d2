use motet_model::{DocumentId, UserId};
use sqlx::{Row, any::AnyRow};

use crate::{Catalog, CatalogError, Role, parsed, stored, time};

/// A document as one user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// Its title.
    pub title: String,
    /// What the user may do with it.
    pub role: Role,
    /// Whose it is.
    pub owner: UserId,
    /// The owner's name.
    pub owner_name: String,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it was last changed; may lag by some seconds.
    pub updated_at_ms: u64,
}

/// A place in a list of documents: after the one with this time and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its `updated_at_ms`.
    pub updated_at_ms: u64,
    /// Its id.
    pub id: DocumentId,
}

/// A user's right to a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub user: UserId,
    /// Their e-mail address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// What a document is to a user, `$1`: the one place where rights are worked out.
const VISIBLE: &str = "
    SELECT d.id, d.title, d.owner_id, d.created_at_ms, d.updated_at_ms, u.name AS owner_name,
           CASE WHEN d.owner_id = $1 THEN 'owner' ELSE g.role END AS role
    FROM documents d
    JOIN users u ON u.id = d.owner_id
    LEFT JOIN grants g ON g.document_id = d.id AND g.user_id = $1
    WHERE (d.owner_id = $1 OR g.role IS NOT NULL)";

const NO_DOCUMENT: CatalogError = CatalogError::NotFound { what: "document" };

impl Document {
    fn from_row(row: &AnyRow) -> Result<Self, CatalogError> {
        Ok(Self {
            id: parsed(row, "id")?,
            title: row.try_get("title")?,
            role: parsed(row, "role")?,
            owner: parsed(row, "owner_id")?,
            owner_name: row.try_get("owner_name")?,
            created_at_ms: time(row, "created_at_ms")?,
            updated_at_ms: time(row, "updated_at_ms")?,
        })
    }
}

impl Catalog {
    /// Adds a document.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn create_document(
        &self,
        id: DocumentId,
        title: &str,
        owner: UserId,
        now_ms: u64,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO documents (id, title, owner_id, created_at_ms, updated_at_ms)
             VALUES ($1, $2, $3, $4, $4)",
        )
        .bind(id.to_string())
        .bind(title)
        .bind(owner.to_string())
        .bind(stored(now_ms))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The document, if the user may see it.
    ///
    /// # Errors
    ///
    /// `NotFound`: it does not exist, or not for this user. `Unavailable`.
    pub async fn document(&self, user: UserId, id: DocumentId) -> Result<Document, CatalogError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{VISIBLE} AND d.id = $2")))
            .bind(user.to_string())
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        Document::from_row(&row.ok_or(NO_DOCUMENT)?)
    }

    /// What the user may do with the document; `None` if they may not see it, or there is none.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn role_of(
        &self,
        user: UserId,
        id: DocumentId,
    ) -> Result<Option<Role>, CatalogError> {
        match self.document(user, id).await {
            Ok(document) => Ok(Some(document.role)),
            Err(CatalogError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The documents that the user may see, the latest change first, after `cursor`.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn documents(
        &self,
        user: UserId,
        limit: u32,
        cursor: Option<Cursor>,
    ) -> Result<Vec<Document>, CatalogError> {
        let (before_ms, before_id) = match cursor {
            Some(Cursor { updated_at_ms, id }) => (stored(updated_at_ms), id.to_string()),
            None => (i64::MAX, String::new()),
        };
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{VISIBLE} AND (d.updated_at_ms < $2 OR (d.updated_at_ms = $2 AND d.id < $3))
             ORDER BY d.updated_at_ms DESC, d.id DESC LIMIT $4"
        )))
        .bind(user.to_string())
        .bind(before_ms)
        .bind(before_id)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(Document::from_row).collect()
    }

    /// Gives the document another title.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn rename_document(
        &self,
        id: DocumentId,
        title: &str,
        now_ms: u64,
    ) -> Result<(), CatalogError> {
        let renamed =
            sqlx::query("UPDATE documents SET title = $2, updated_at_ms = $3 WHERE id = $1")
                .bind(id.to_string())
                .bind(title)
                .bind(stored(now_ms))
                .execute(&self.pool)
                .await?;
        if renamed.rows_affected() == 0 {
            Err(NO_DOCUMENT)
        } else {
            Ok(())
        }
    }

    /// Notes when the document was last changed. One that is gone needs no note.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn touch_document(&self, id: DocumentId, at_ms: u64) -> Result<(), CatalogError> {
        sqlx::query("UPDATE documents SET updated_at_ms = $2 WHERE id = $1 AND updated_at_ms < $2")
            .bind(id.to_string())
            .bind(stored(at_ms))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Removes a document and all rights to it.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn delete_document(&self, id: DocumentId) -> Result<(), CatalogError> {
        let deleted = sqlx::query("DELETE FROM documents WHERE id = $1")
            .bind(id.to_string())
            .execute(&self.pool)
            .await?;
        if deleted.rows_affected() == 0 {
            Err(NO_DOCUMENT)
        } else {
            Ok(())
        }
    }

    /// Who may see the document: the owner first, then by e-mail address.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn grants(&self, id: DocumentId) -> Result<Vec<Grant>, CatalogError> {
        let rows = sqlx::query(
            "SELECT u.id, u.email, u.name, 'owner' AS role, 0 AS place, u.email_folded
             FROM documents d JOIN users u ON u.id = d.owner_id WHERE d.id = $1
             UNION ALL
             SELECT u.id, u.email, u.name, g.role, 1 AS place, u.email_folded
             FROM grants g JOIN users u ON u.id = g.user_id WHERE g.document_id = $1
             ORDER BY 5, 6",
        )
        .bind(id.to_string())
        .fetch_all(&self.pool)
        .await?;
        let grant = |row: &AnyRow| {
            Ok(Grant {
                user: parsed(row, "id")?,
                email: row.try_get("email")?,
                name: row.try_get("name")?,
                role: parsed(row, "role")?,
            })
        };
        rows.iter().map(grant).collect()
    }

    /// Gives a user a role, in place of any they had.
    ///
    /// # Errors
    ///
    /// `Unavailable`: also when document or user are gone.
    pub async fn grant(
        &self,
        id: DocumentId,
        user: UserId,
        role: Role,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO grants (document_id, user_id, role) VALUES ($1, $2, $3)
             ON CONFLICT (document_id, user_id) DO UPDATE SET role = excluded.role",
        )
        .bind(id.to_string())
        .bind(user.to_string())
        .bind(role.as_str())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes a user's role away.
    ///
    /// # Errors
    ///
    /// `NotFound`: they had none. `Unavailable`.
    pub async fn revoke(&self, id: DocumentId, user: UserId) -> Result<(), CatalogError> {
        let revoked = sqlx::query("DELETE FROM grants WHERE document_id = $1 AND user_id = $2")
            .bind(id.to_string())
            .bind(user.to_string())
            .execute(&self.pool)
            .await?;
        if revoked.rows_affected() == 0 {
            return Err(CatalogError::NotFound { what: "grant" });
        }
        Ok(())
    }
}

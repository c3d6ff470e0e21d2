//! The documents that there are.

use motet_model::{DocumentId, OrganizationId, UserId};
use serde_json::json;
use sqlx::{Row, any::AnyRow};

use crate::{
    Actor, AuditAction, Catalog, CatalogError, Entry, Role, holds::Held, none_if_empty, parsed,
    search::keep_title, stored, time,
};

/// A document as one user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// Its title.
    pub title: String,
    /// What the user may do with it.
    pub role: Role,
    /// Its organization.
    pub organization: OrganizationId,
    /// What everyone in the organization may do with it.
    pub organization_role: Option<Role>,
    /// Whose it is.
    pub owner: UserId,
    /// The owner's name.
    pub owner_name: String,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it was last changed; may lag by some seconds.
    pub updated_at_ms: u64,
    /// When it was put into the trash, if it was.
    pub deleted_at_ms: Option<u64>,
}

/// A document that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDocument {
    /// Its id.
    pub id: DocumentId,
    /// Its title.
    pub title: String,
    /// Whose it is; it belongs to their organization.
    pub owner: UserId,
}

/// Which of a user's documents to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DocumentFilter {
    /// All that are not in the trash.
    #[default]
    All,
    /// The user's own.
    Owned,
    /// Those of others.
    Shared,
    /// The user's own in the trash.
    Trash,
}

/// A place in a list of documents: after the one with this time and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its `updated_at_ms`.
    pub updated_at_ms: u64,
    /// Its id.
    pub id: DocumentId,
}

/// Of what [`Document`] is read.
pub(crate) const VISIBLE_COLUMNS: &str = "d.id, d.title, d.owner_id, d.organization_id,
    d.organization_role, d.created_at_ms, d.updated_at_ms, d.deleted_at_ms,
    u.name AS owner_name, r.role_rank";

/// Documents as the user `$1` sees them at the time `$2`.
pub(crate) const VISIBLE: &str = "
    FROM (SELECT document_id, CAST(MAX(role_rank) AS BIGINT) AS role_rank FROM document_roles
          WHERE user_id = $1 AND (until_ms = 0 OR until_ms > $2) GROUP BY document_id) r
    JOIN documents d ON d.id = r.document_id
    JOIN users u ON u.id = d.owner_id";

const NO_DOCUMENT: CatalogError = CatalogError::NotFound { what: "document" };

impl DocumentFilter {
    pub(crate) const fn condition(self) -> &'static str {
        match self {
            Self::All => "d.deleted_at_ms = 0",
            Self::Owned => "d.deleted_at_ms = 0 AND d.owner_id = $1",
            Self::Shared => "d.deleted_at_ms = 0 AND d.owner_id <> $1",
            Self::Trash => "d.deleted_at_ms > 1 AND d.owner_id = $1",
        }
    }
}

impl Document {
    pub(crate) fn from_row(row: &AnyRow) -> Result<Self, CatalogError> {
        let open = none_if_empty(row, "organization_role")?;
        Ok(Self {
            id: parsed(row, "id")?,
            title: row.try_get("title")?,
            role: Role::of_rank(row.try_get("role_rank")?).unwrap_or(Role::Viewer),
            organization: parsed(row, "organization_id")?,
            organization_role: open.and_then(|role| role.parse().ok()),
            owner: parsed(row, "owner_id")?,
            owner_name: row.try_get("owner_name")?,
            created_at_ms: time(row, "created_at_ms")?,
            updated_at_ms: time(row, "updated_at_ms")?,
            deleted_at_ms: Some(time(row, "deleted_at_ms")?).filter(|time_ms| *time_ms > 0),
        })
    }
}

impl Catalog {
    /// Adds a document to its owner's organization.
    ///
    /// # Errors
    ///
    /// `NotFound`: no such account, or a guest's. `Unavailable`.
    pub async fn create_document(
        &self,
        actor: &Actor,
        document: &NewDocument,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        act.hold(Held::User, document.owner).await?;
        let created = sqlx::query(
            "INSERT INTO documents (id, title, owner_id, organization_id, created_at_ms,
                                    updated_at_ms)
             SELECT $1, $2, u.id, u.organization_id, $4, $4 FROM users u
             WHERE u.id = $3 AND u.kind = 'member'",
        )
        .bind(document.id.to_string())
        .bind(&document.title)
        .bind(document.owner.to_string())
        .bind(stored(actor.at_ms))
        .execute(act.connection())
        .await?;
        if created.rows_affected() == 0 {
            return Err(CatalogError::NotFound { what: "account" });
        }
        keep_title(act.connection(), document.id, &document.title).await?;
        let entry = Entry::new(AuditAction::DocumentCreated);
        act.commit(entry.document(document.id)).await
    }

    /// The organization of a document, wherever it is.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn organization_of(
        &self,
        id: DocumentId,
    ) -> Result<Option<OrganizationId>, CatalogError> {
        let row = sqlx::query("SELECT organization_id FROM documents WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        row.map(|row| parsed(&row, "organization_id")).transpose()
    }

    /// Whether there is such a document, and not in the trash.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn is_there(&self, id: DocumentId) -> Result<bool, CatalogError> {
        let row = sqlx::query("SELECT id FROM documents WHERE id = $1 AND deleted_at_ms = 0")
            .bind(id.to_string())
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        Ok(row.is_some())
    }

    /// The title of a document, whoever asks.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn title_of(&self, id: DocumentId) -> Result<Option<String>, CatalogError> {
        let row = sqlx::query("SELECT title FROM documents WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        row.map(|row| Ok(row.try_get("title")?)).transpose()
    }

    /// How many documents the account owns, those in the trash too.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn count_documents(&self, owner: UserId) -> Result<u64, CatalogError> {
        let row = sqlx::query("SELECT COUNT(*) AS documents FROM documents WHERE owner_id = $1")
            .bind(owner.to_string())
            .fetch_one(&mut *self.pool.connection().await?)
            .await?;
        time(&row, "documents")
    }

    /// The document, if the user may see it; in the trash only its owner may.
    ///
    /// # Errors
    ///
    /// `NotFound`: it does not exist, or not for this user. `Unavailable`.
    pub async fn document(
        &self,
        user: UserId,
        id: DocumentId,
        now_ms: u64,
    ) -> Result<Document, CatalogError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {VISIBLE_COLUMNS} {VISIBLE} WHERE d.id = $3 AND d.deleted_at_ms <> 1
               AND (d.deleted_at_ms = 0 OR d.owner_id = $1)"
        )))
        .bind(user.to_string())
        .bind(stored(now_ms))
        .bind(id.to_string())
        .fetch_optional(&mut *self.pool.connection().await?)
        .await?;
        Document::from_row(&row.ok_or(NO_DOCUMENT)?)
    }

    /// The documents that the user may see, the latest change first, after `cursor`.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn documents(
        &self,
        user: UserId,
        filter: DocumentFilter,
        limit: u32,
        cursor: Option<Cursor>,
        now_ms: u64,
    ) -> Result<Vec<Document>, CatalogError> {
        let (before_ms, before_id) = match cursor {
            Some(Cursor { updated_at_ms, id }) => (stored(updated_at_ms), id.to_string()),
            None => (i64::MAX, String::new()),
        };
        let condition = filter.condition();
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {VISIBLE_COLUMNS} {VISIBLE} WHERE {condition}
               AND (d.updated_at_ms < $3 OR (d.updated_at_ms = $3 AND d.id < $4))
             ORDER BY d.updated_at_ms DESC, d.id DESC LIMIT $5"
        )))
        .bind(user.to_string())
        .bind(stored(now_ms))
        .bind(before_ms)
        .bind(before_id)
        .bind(i64::from(limit))
        .fetch_all(&mut *self.pool.connection().await?)
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
        actor: &Actor,
        id: DocumentId,
        title: &str,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let renamed = sqlx::query(
            "UPDATE documents SET title = $2, updated_at_ms = $3
             WHERE id = $1 AND deleted_at_ms = 0",
        )
        .bind(id.to_string())
        .bind(title)
        .bind(stored(actor.at_ms))
        .execute(act.connection())
        .await?;
        if renamed.rows_affected() == 0 {
            return Err(NO_DOCUMENT);
        }
        keep_title(act.connection(), id, title).await?;
        let entry = Entry::new(AuditAction::DocumentRenamed);
        act.commit(entry.document(id)).await
    }

    /// Says what everyone in the organization may do with the document.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn open_document(
        &self,
        actor: &Actor,
        id: DocumentId,
        role: Option<Role>,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let role = role.map_or("", Role::as_str);
        let changed = sqlx::query(
            "UPDATE documents SET organization_role = $2 WHERE id = $1 AND deleted_at_ms = 0",
        )
        .bind(id.to_string())
        .bind(role)
        .execute(act.connection())
        .await?;
        if changed.rows_affected() == 0 {
            return Err(NO_DOCUMENT);
        }
        let entry = Entry::new(AuditAction::DocumentOpenness).document(id);
        act.commit(entry.details(json!({ "role": role }))).await
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
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }

    /// Puts the document into the trash, or takes it out.
    ///
    /// # Errors
    ///
    /// `NotFound`: there is none, or it is there already. `Unavailable`.
    pub async fn trash_document(
        &self,
        actor: &Actor,
        id: DocumentId,
        trashed: bool,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let (at_ms, action) = if trashed {
            (actor.at_ms, AuditAction::DocumentTrashed)
        } else {
            (0, AuditAction::DocumentRestored)
        };
        let moved = sqlx::query(
            "UPDATE documents SET deleted_at_ms = $2
             WHERE id = $1 AND deleted_at_ms <> 1 AND (deleted_at_ms > 0) = ($2 = 0)",
        )
        .bind(id.to_string())
        .bind(stored(at_ms))
        .execute(act.connection())
        .await?;
        if moved.rows_affected() == 0 {
            return Err(NO_DOCUMENT);
        }
        act.commit(Entry::new(action).document(id)).await
    }

    /// Decides that the document is to be deleted for good: from here on nobody sees it or gets it back.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn doom_document(&self, id: DocumentId) -> Result<(), CatalogError> {
        // The first of all times in the trash, so it is always due.
        let doomed = sqlx::query("UPDATE documents SET deleted_at_ms = 1 WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *self.pool.connection().await?)
            .await?;
        if doomed.rows_affected() == 0 {
            return Err(NO_DOCUMENT);
        }
        Ok(())
    }

    /// Documents that have been in the trash since before this time, and those that are doomed.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn trashed_before(
        &self,
        before_ms: u64,
        limit: u32,
    ) -> Result<Vec<(DocumentId, OrganizationId)>, CatalogError> {
        let rows = sqlx::query(
            "SELECT id, organization_id FROM documents
             WHERE deleted_at_ms > 0 AND deleted_at_ms < $1 ORDER BY deleted_at_ms LIMIT $2",
        )
        .bind(stored(before_ms.max(2)))
        .bind(i64::from(limit))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let ids = |row: &AnyRow| Ok((parsed(row, "id")?, parsed(row, "organization_id")?));
        rows.iter().map(ids).collect()
    }

    /// Removes a document and all rights to it.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn delete_document(&self, actor: &Actor, id: DocumentId) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        act.hold(Held::Document, id).await?;
        // What the database removes with them has no order.
        act.hold(Held::LinksOf, id).await?;
        let deleted = sqlx::query("DELETE FROM documents WHERE id = $1")
            .bind(id.to_string())
            .execute(act.connection())
            .await?;
        if deleted.rows_affected() == 0 {
            return Err(NO_DOCUMENT);
        }
        let entry = Entry::new(AuditAction::DocumentDeleted);
        act.commit(entry.document(id)).await
    }
}

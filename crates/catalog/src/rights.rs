//! What an account may do with a document, from whichever source: the view `document_roles`.

use motet_model::{DocumentId, UserId};
use sqlx::Row;

use crate::{Catalog, CatalogError, Role, stored, time};

/// What an account may do with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The highest of its roles.
    pub role: Role,
    /// When the first of its roles ends, and rights are to be asked for again.
    pub until_ms: Option<u64>,
}

impl Catalog {
    /// What the account may do with the document at this time. `None`: nothing, not even know that it is
    /// there; or it is not there, or in the trash.
    ///
    /// Takes as long as the account's own roles on this document are many, however many others have.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn rights(
        &self,
        user: UserId,
        document: DocumentId,
        now_ms: u64,
    ) -> Result<Option<Rights>, CatalogError> {
        self.rights_where("d.deleted_at_ms = 0", user, document, now_ms)
            .await
    }

    /// The same of a document in the trash.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn rights_in_trash(
        &self,
        user: UserId,
        document: DocumentId,
        now_ms: u64,
    ) -> Result<Option<Rights>, CatalogError> {
        self.rights_where("d.deleted_at_ms > 1", user, document, now_ms)
            .await
    }

    async fn rights_where(
        &self,
        condition: &'static str,
        user: UserId,
        document: DocumentId,
        now_ms: u64,
    ) -> Result<Option<Rights>, CatalogError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT CAST(r.role_rank AS BIGINT) AS role_rank, CAST(r.until_ms AS BIGINT) AS until_ms
             FROM document_roles r JOIN documents d ON d.id = r.document_id
             WHERE r.user_id = $1 AND r.document_id = $2 AND (r.until_ms = 0 OR r.until_ms > $3)
               AND {condition}"
        )))
        .bind(user.to_string())
        .bind(document.to_string())
        .bind(stored(now_ms))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let mut rights: Option<Rights> = None;
        for row in &rows {
            let Some(role) = Role::of_rank(row.try_get("role_rank")?) else {
                continue;
            };
            let until_ms = Some(time(row, "until_ms")?).filter(|until_ms| *until_ms > 0);
            let so_far = rights.get_or_insert(Rights { role, until_ms });
            so_far.role = so_far.role.max(role);
            so_far.until_ms = match (so_far.until_ms, until_ms) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(rights)
    }
}

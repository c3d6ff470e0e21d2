//! What people and groups were given on documents.

use motet_model::{DocumentId, GroupId, UserId};
use serde_json::json;
use sqlx::{Row, any::AnyRow};

use crate::{
    Actor, AuditAction, Catalog, CatalogError, Entry, Role, holds::Held, none_if_empty, parsed,
    stored,
};

/// A person's right to a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub user: UserId,
    /// Their e-mail address.
    pub email: Option<String>,
    /// Their name.
    pub name: String,
    /// The id of their picture.
    pub avatar: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Where that comes from: `owner`, `grant` or `link`.
    pub via: String,
}

/// A group's right to a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupGrant {
    /// Which.
    pub group: GroupId,
    /// Its name.
    pub name: String,
    /// What its members may do.
    pub role: Role,
}

/// Somebody whom a document's owner has taken out, and whom its links do not let in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Who.
    pub user: UserId,
    /// Their name.
    pub name: String,
    /// The id of their picture.
    pub avatar: Option<String>,
}

const NO_GRANT: CatalogError = CatalogError::NotFound { what: "grant" };

impl Catalog {
    /// Who was given a right of their own: the owner first, then by name. Groups, and everyone in the
    /// organization, are not among them.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn grants(&self, id: DocumentId, now_ms: u64) -> Result<Vec<Grant>, CatalogError> {
        let rows = sqlx::query(
            "SELECT u.id, u.email, u.name, u.avatar_id, r.source,
                    CAST(r.role_rank AS BIGINT) AS role_rank
             FROM document_roles r JOIN users u ON u.id = r.user_id
             WHERE r.document_id = $1 AND r.source IN ('owner', 'grant', 'link')
               AND (r.until_ms = 0 OR r.until_ms > $2)
             ORDER BY CASE r.source WHEN 'owner' THEN 0 WHEN 'grant' THEN 1 ELSE 2 END, u.name, u.id",
        )
        .bind(id.to_string())
        .bind(stored(now_ms))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let grant = |row: &AnyRow| -> Result<Grant, CatalogError> {
            Ok(Grant {
                user: parsed(row, "id")?,
                email: none_if_empty(row, "email")?,
                name: row.try_get("name")?,
                avatar: none_if_empty(row, "avatar_id")?,
                role: Role::of_rank(row.try_get("role_rank")?).unwrap_or(Role::Viewer),
                via: row.try_get("source")?,
            })
        };
        rows.iter().map(grant).collect()
    }

    /// The groups that were given a right, by name.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn group_grants(&self, id: DocumentId) -> Result<Vec<GroupGrant>, CatalogError> {
        let rows = sqlx::query(
            "SELECT g.id, g.name, r.role FROM group_grants r JOIN user_groups g ON g.id = r.group_id
             WHERE r.document_id = $1 ORDER BY g.name, g.id",
        )
        .bind(id.to_string())
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let grant = |row: &AnyRow| -> Result<GroupGrant, CatalogError> {
            Ok(GroupGrant {
                group: parsed(row, "id")?,
                name: row.try_get("name")?,
                role: parsed(row, "role")?,
            })
        };
        rows.iter().map(grant).collect()
    }

    /// Whom the owner has taken out, by name, as long as there is a link that would let them in.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn removed(&self, id: DocumentId, now_ms: u64) -> Result<Vec<Removed>, CatalogError> {
        let rows = sqlx::query(
            "SELECT u.id, u.name, u.avatar_id FROM users u
             WHERE u.id IN (SELECT r.user_id FROM link_removals r JOIN links l ON l.id = r.link_id
                            WHERE l.document_id = $1
                              AND (l.expires_at_ms = 0 OR l.expires_at_ms > $2))
             ORDER BY u.name, u.id",
        )
        .bind(id.to_string())
        .bind(stored(now_ms))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let removed = |row: &AnyRow| -> Result<Removed, CatalogError> {
            Ok(Removed {
                user: parsed(row, "id")?,
                name: row.try_get("name")?,
                avatar: none_if_empty(row, "avatar_id")?,
            })
        };
        rows.iter().map(removed).collect()
    }

    /// Gives a member of the document's organization a role, in place of any they were given. Links let
    /// them in again.
    ///
    /// # Errors
    ///
    /// `NotFound`: no such document, or no such account in its organization. `Unavailable`.
    pub async fn grant(
        &self,
        actor: &Actor,
        id: DocumentId,
        user: UserId,
        role: Role,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        act.hold(Held::User, user).await?;
        act.hold(Held::Document, id).await?;
        let granted = sqlx::query(
            "INSERT INTO grants (document_id, user_id, role)
             SELECT d.id, u.id, $3 FROM documents d JOIN users u ON u.organization_id = d.organization_id
             WHERE d.id = $1 AND u.id = $2 AND u.kind = 'member'
             ON CONFLICT (document_id, user_id) DO UPDATE SET role = excluded.role",
        )
        .bind(id.to_string())
        .bind(user.to_string())
        .bind(role.as_str())
        .execute(act.connection())
        .await?;
        if granted.rows_affected() == 0 {
            return Err(CatalogError::NotFound { what: "account" });
        }
        sqlx::query(
            "DELETE FROM link_removals WHERE user_id = $2
               AND link_id IN (SELECT id FROM links WHERE document_id = $1)",
        )
        .bind(id.to_string())
        .bind(user.to_string())
        .execute(act.connection())
        .await?;
        let entry = Entry::new(AuditAction::DocumentShared)
            .document(id)
            .user(user);
        act.commit(entry.details(json!({ "role": role.as_str() })))
            .await
    }

    /// Takes away what a person was given, also by links. Unless they gave it back themselves, the links
    /// that the document has now do not let them in again.
    ///
    /// # Errors
    ///
    /// `NotFound`: they were given nothing. `Unavailable`.
    pub async fn revoke(
        &self,
        actor: &Actor,
        id: DocumentId,
        user: UserId,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        // They do not come in again meanwhile, and no link goes.
        act.hold(Held::User, user).await?;
        act.hold(Held::Document, id).await?;
        act.hold(Held::LinksOf, id).await?;
        let granted = sqlx::query("DELETE FROM grants WHERE document_id = $1 AND user_id = $2")
            .bind(id.to_string())
            .bind(user.to_string())
            .execute(act.connection())
            .await?;
        let linked = sqlx::query(
            "DELETE FROM link_users WHERE user_id = $2
               AND link_id IN (SELECT id FROM links WHERE document_id = $1)",
        )
        .bind(id.to_string())
        .bind(user.to_string())
        .execute(act.connection())
        .await?;
        if granted.rows_affected() + linked.rows_affected() == 0 {
            return Err(NO_GRANT);
        }
        if actor.user != Some(user) {
            sqlx::query(
                "INSERT INTO link_removals (link_id, user_id)
                 SELECT id, $2 FROM links WHERE document_id = $1
                 ON CONFLICT (link_id, user_id) DO NOTHING",
            )
            .bind(id.to_string())
            .bind(user.to_string())
            .execute(act.connection())
            .await?;
        }
        let entry = Entry::new(AuditAction::DocumentUnshared)
            .document(id)
            .user(user);
        act.commit(entry).await
    }

    /// Gives a group of the document's organization a role, in place of any it had.
    ///
    /// # Errors
    ///
    /// `NotFound`: no such document, or no such group in its organization. `Unavailable`.
    pub async fn grant_group(
        &self,
        actor: &Actor,
        id: DocumentId,
        group: GroupId,
        role: Role,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let granted = sqlx::query(
            "INSERT INTO group_grants (document_id, group_id, role)
             SELECT d.id, g.id, $3 FROM documents d
             JOIN user_groups g ON g.organization_id = d.organization_id
             WHERE d.id = $1 AND g.id = $2
             ON CONFLICT (document_id, group_id) DO UPDATE SET role = excluded.role",
        )
        .bind(id.to_string())
        .bind(group.to_string())
        .bind(role.as_str())
        .execute(act.connection())
        .await?;
        if granted.rows_affected() == 0 {
            return Err(CatalogError::NotFound { what: "group" });
        }
        let details = json!({ "role": role.as_str(), "group": group.to_string() });
        act.commit(
            Entry::new(AuditAction::DocumentShared)
                .document(id)
                .details(details),
        )
        .await
    }

    /// Takes a group's role away.
    ///
    /// # Errors
    ///
    /// `NotFound`: it had none. `Unavailable`.
    pub async fn revoke_group(
        &self,
        actor: &Actor,
        id: DocumentId,
        group: GroupId,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let revoked =
            sqlx::query("DELETE FROM group_grants WHERE document_id = $1 AND group_id = $2")
                .bind(id.to_string())
                .bind(group.to_string())
                .execute(act.connection())
                .await?;
        if revoked.rows_affected() == 0 {
            return Err(NO_GRANT);
        }
        let entry = Entry::new(AuditAction::DocumentUnshared).document(id);
        act.commit(entry.details(json!({ "group": group.to_string() })))
            .await
    }
}

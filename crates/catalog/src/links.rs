//! Share links.

use motet_model::{DocumentId, LinkId, OrganizationId, UserId};
use serde_json::json;
use sqlx::{Row, any::AnyRow};

use crate::{
    Actor, AuditAction, Catalog, CatalogError, Entry, NewUser, Role, holds::Held, none_if_empty,
    parsed, sought, stored, time, users,
};

/// A share link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// What it opens.
    pub document: DocumentId,
    /// Whose document that is.
    pub organization: OrganizationId,
    /// The document's title.
    pub title: String,
    /// The secret in its address.
    pub token: String,
    /// What it gives.
    pub role: Role,
    /// The hash of its password in PHC form, if it has one.
    pub password_hash: Option<String>,
    /// When it ends, if it does.
    pub expires_at_ms: Option<u64>,
    /// When it was made.
    pub created_at_ms: u64,
}

/// A share link that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// Its id.
    pub id: LinkId,
    /// What it opens.
    pub document: DocumentId,
    /// The secret in its address.
    pub token: String,
    /// What it gives.
    pub role: Role,
    /// The hash of its password in PHC form, if it has one.
    pub password_hash: Option<String>,
    /// When it ends, if it does.
    pub expires_at_ms: Option<u64>,
}

const NO_LINK: CatalogError = CatalogError::NotFound { what: "link" };

const SELECT: &str = "
    SELECT l.id, l.document_id, d.organization_id, d.title, l.token, l.role, l.password_hash,
           l.expires_at_ms, l.created_at_ms
    FROM links l JOIN documents d ON d.id = l.document_id";

impl Link {
    fn from_row(row: &AnyRow) -> Result<Self, CatalogError> {
        Ok(Self {
            id: parsed(row, "id")?,
            document: parsed(row, "document_id")?,
            organization: parsed(row, "organization_id")?,
            title: row.try_get("title")?,
            token: row.try_get("token")?,
            role: parsed(row, "role")?,
            password_hash: none_if_empty(row, "password_hash")?,
            expires_at_ms: Some(time(row, "expires_at_ms")?).filter(|time_ms| *time_ms > 0),
            created_at_ms: time(row, "created_at_ms")?,
        })
    }
}

impl Catalog {
    /// Adds a link.
    ///
    /// # Errors
    ///
    /// `TooMany`: the document has `max` already. `Unavailable`.
    pub async fn create_link(
        &self,
        actor: &Actor,
        link: &NewLink,
        max: u32,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        // Nobody else adds one meanwhile.
        act.hold(Held::Document, link.document).await?;
        let created = sqlx::query(
            "INSERT INTO links (id, document_id, token, role, password_hash, expires_at_ms,
                                created_at_ms)
             SELECT $1, $2, $3, $4, $5, CAST($6 AS BIGINT), CAST($7 AS BIGINT)
             WHERE (SELECT COUNT(*) FROM links WHERE document_id = $2) < CAST($8 AS BIGINT)",
        )
        .bind(link.id.to_string())
        .bind(link.document.to_string())
        .bind(&link.token)
        .bind(link.role.as_str())
        .bind(link.password_hash.as_deref().unwrap_or_default())
        .bind(stored(link.expires_at_ms.unwrap_or(0)))
        .bind(stored(actor.at_ms))
        .bind(i64::from(max))
        .execute(act.connection())
        .await?;
        if created.rows_affected() == 0 {
            let what = "links of a document";
            return Err(CatalogError::TooMany { what, max });
        }
        let details = json!({
            "link": link.id.to_string(), "role": link.role.as_str(),
            "password": link.password_hash.is_some(), "expiresAtMs": link.expires_at_ms,
        });
        let entry = Entry::new(AuditAction::LinkCreated).document(link.document);
        act.commit(entry.details(details)).await
    }

    /// The document's links, the oldest first; also those whose time is over.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn links(&self, document: DocumentId) -> Result<Vec<Link>, CatalogError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE l.document_id = $1 ORDER BY l.created_at_ms, l.id"
        )))
        .bind(document.to_string())
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        rows.iter().map(Link::from_row).collect()
    }

    /// The link with this secret, if it opens something at this time.
    ///
    /// # Errors
    ///
    /// `NotFound`: it is unknown or revoked, its time is over, or the document is gone or in the trash.
    /// `Unavailable`.
    pub async fn link(&self, token: &str, now_ms: u64) -> Result<Link, CatalogError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE l.token = $1 AND (l.expires_at_ms = 0 OR l.expires_at_ms > $2)
               AND d.deleted_at_ms = 0"
        )))
        .bind(sought(token))
        .bind(stored(now_ms))
        .fetch_optional(&mut *self.pool.connection().await?)
        .await?;
        Link::from_row(&row.ok_or(NO_LINK)?)
    }

    /// Gives the link's right to an account, as long as the link is there; to a guest that is made for
    /// it, of whom there may be `guests_max` (0: any number), or to one that exists.
    ///
    /// # Errors
    ///
    /// `NotFound`: the link was revoked meanwhile. `LinkFull`. `LinkDenied`. `Unavailable`.
    pub async fn open_link(
        &self,
        actor: &Actor,
        link: &Link,
        user: UserId,
        guest: Option<&NewUser>,
        guests_max: u32,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        if let Some(guest) = guest {
            users::insert(guest, actor, act.connection()).await?;
        }
        act.hold(Held::User, user).await?;
        // Nobody else comes in by it meanwhile.
        act.hold(Held::Link, link.id).await?;
        let found = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM link_removals r WHERE r.link_id = l.id AND r.user_id = $2)
                      AS removals,
                    (SELECT COUNT(*) FROM link_users x JOIN users u ON u.id = x.user_id
                     WHERE x.link_id = l.id AND u.kind = 'guest') AS guests
             FROM links l WHERE l.id = $1",
        )
        .bind(link.id.to_string())
        .bind(user.to_string())
        .fetch_optional(act.connection())
        .await?;
        let found = found.ok_or(NO_LINK)?;
        if time(&found, "removals")? > 0 {
            return Err(CatalogError::LinkDenied);
        }
        let is_full = guests_max > 0 && time(&found, "guests")? >= guests_max.into();
        if guest.is_some() && is_full {
            return Err(CatalogError::LinkFull { max: guests_max });
        }
        sqlx::query(
            "INSERT INTO link_users (link_id, user_id) VALUES ($1, $2)
             ON CONFLICT (link_id, user_id) DO NOTHING",
        )
        .bind(link.id.to_string())
        .bind(user.to_string())
        .execute(act.connection())
        .await?;
        let details = json!({ "link": link.id.to_string(), "guest": guest.is_some() });
        let entry = Entry::new(AuditAction::LinkOpened).document(link.document);
        act.commit(entry.user(user).details(details)).await
    }

    /// Removes a link of the document, and the rights that it gave.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn revoke_link(
        &self,
        actor: &Actor,
        document: DocumentId,
        id: LinkId,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let revoked = sqlx::query("DELETE FROM links WHERE id = $1 AND document_id = $2")
            .bind(id.to_string())
            .bind(document.to_string())
            .execute(act.connection())
            .await?;
        if revoked.rows_affected() == 0 {
            return Err(NO_LINK);
        }
        let entry = Entry::new(AuditAction::LinkRevoked).document(document);
        act.commit(entry.details(json!({ "link": id.to_string() })))
            .await
    }
}

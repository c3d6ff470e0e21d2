//! The end of an account: what it leaves behind, and in which order that goes.
//!
//! An erasure is recorded first, and its account can do nothing from then on. Its documents are transferred
//! or deleted one by one, by whoever can delete their logs too; then everything else goes in one
//! transaction, and at last [`Catalog::scrub`] overwrites what the database still has of it. Each step can
//! be done again, and changes nothing then.
//!
//! # Not here
//!
//! Logs, live sessions, and who goes through the steps (`server`).

use motet_model::{DocumentId, OrganizationId, UserId};
use serde_json::json;
use sqlx::{Row, any::AnyRow};

use crate::{
    Actor, AuditAction, Catalog, CatalogError, Entry, Kind, User, audit::Act, holds::Held,
    none_if_empty, parsed, stored, time, users::folded,
};

/// What others see in place of a name.
const ERASED_NAME: &str = "Erased user";

/// An erasure that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Whose.
    pub user: UserId,
    /// The account's organization.
    pub organization: OrganizationId,
    /// Who has asked for it; `None`: the operator.
    pub actor: Option<UserId>,
    /// To whom the account's documents go; `None`: they are deleted.
    pub transfer_to: Option<UserId>,
    /// Whether the account is erased, and only [`Catalog::scrub`] is left to do.
    pub erased: bool,
    /// Whether nobody waits for that: guests leave little behind, and anybody can be one.
    pub patient: bool,
}

const NO_ACCOUNT: CatalogError = CatalogError::NotFound { what: "account" };

impl Catalog {
    /// Records that the account is to be erased. From here on nobody acts with it. Recorded once more, it
    /// says anew what becomes of the documents.
    ///
    /// # Errors
    ///
    /// `NotFound`: there is no such account, or none to which documents can go. `LastAdministrator`: the
    /// account's organization would have members and none to manage it; not if `unmanaged` says that
    /// this may be. `Unavailable`.
    pub async fn begin_erasure(
        &self,
        actor: &Actor,
        id: UserId,
        transfer_to: Option<UserId>,
        unmanaged: bool,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        // Nobody there is disabled, erased or made something else meanwhile.
        act.hold(Held::OrganizationOf, id).await?;
        let row = sqlx::query("SELECT * FROM users WHERE id = $1 AND kind <> 'erased'")
            .bind(id.to_string())
            .fetch_optional(act.connection())
            .await?;
        let user = User::from_row(&row.ok_or(NO_ACCOUNT)?)?;
        if user.administrator && !unmanaged {
            let others = sqlx::query(
                "SELECT COUNT(*) AS members,
                        CAST(COALESCE(SUM(administrator), 0) AS BIGINT) AS administrators
                 FROM users WHERE organization_id = $1 AND kind = 'member' AND id <> $2
                   AND disabled_at_ms = 0",
            )
            .bind(user.organization.to_string())
            .bind(id.to_string())
            .fetch_one(act.connection())
            .await?;
            if time(&others, "members")? > 0 && time(&others, "administrators")? == 0 {
                return Err(CatalogError::LastAdministrator);
            }
        }
        if let Some(heir) = transfer_to {
            let row = sqlx::query(
                "SELECT * FROM users WHERE id = $1
                   AND id NOT IN (SELECT user_id FROM erasures WHERE user_id <> $2)",
            )
            .bind(heir.to_string())
            .bind(id.to_string())
            .fetch_optional(act.connection())
            .await?;
            let heir = row.as_ref().map(User::from_row).transpose()?;
            let heir = heir.filter(|heir| {
                heir.id != id
                    && heir.organization == user.organization
                    && heir.kind == Kind::Member
                    && heir.is_active()
            });
            heir.ok_or(CatalogError::NotFound {
                what: "account to transfer to",
            })?;
        }
        // The operator, who acts as nobody, waits for it.
        let patient = user.kind == Kind::Guest && actor.user.is_some();
        begin(act, id, transfer_to, patient).await
    }

    /// The erasures that are not complete, the oldest first.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn erasures(&self) -> Result<Vec<Erasure>, CatalogError> {
        let rows = sqlx::query(
            "SELECT e.user_id, e.actor_id, e.transfer_to, e.erased_at_ms, e.patient,
                    u.organization_id
             FROM erasures e JOIN users u ON u.id = e.user_id ORDER BY e.begun_at_ms, e.user_id",
        )
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let id = |row: &AnyRow, column: &str| -> Result<Option<UserId>, CatalogError> {
            let text = none_if_empty(row, column)?;
            text.map(|_| parsed(row, column)).transpose()
        };
        let erasure = |row: &AnyRow| -> Result<Erasure, CatalogError> {
            Ok(Erasure {
                user: parsed(row, "user_id")?,
                organization: parsed(row, "organization_id")?,
                actor: id(row, "actor_id")?,
                transfer_to: id(row, "transfer_to")?,
                erased: row.try_get::<i64, _>("erased_at_ms")? > 0,
                patient: row.try_get::<i64, _>("patient")? > 0,
            })
        };
        rows.iter().map(erasure).collect()
    }

    /// Makes the document another member's of its organization. What the new owner was given on it, and
    /// the links that the old one made, are void.
    ///
    /// # Errors
    ///
    /// `NotFound`: it is not a document of `from`, or `to` is no member there any more. `Unavailable`.
    pub async fn transfer_document(
        &self,
        actor: &Actor,
        id: DocumentId,
        from: UserId,
        to: UserId,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        act.hold(Held::User, to).await?;
        let moved = sqlx::query(
            "UPDATE documents SET owner_id = $3 WHERE id = $1 AND owner_id = $2
               AND organization_id IN (SELECT organization_id FROM users
                                       WHERE id = $3 AND kind = 'member' AND disabled_at_ms = 0)",
        )
        .bind(id.to_string())
        .bind(from.to_string())
        .bind(to.to_string())
        .execute(act.connection())
        .await?;
        if moved.rows_affected() == 0 {
            return Err(CatalogError::NotFound {
                what: "document to transfer, or account to transfer to",
            });
        }
        act.hold(Held::LinksOf, id).await?;
        sqlx::query("DELETE FROM grants WHERE document_id = $1 AND user_id = $2")
            .bind(id.to_string())
            .bind(to.to_string())
            .execute(act.connection())
            .await?;
        let links = sqlx::query("DELETE FROM links WHERE document_id = $1")
            .bind(id.to_string())
            .execute(act.connection())
            .await?;
        let details = json!({ "from": from.to_string(), "linksRevoked": links.rows_affected() });
        let entry = Entry::new(AuditAction::DocumentTransferred).document(id);
        act.commit(entry.user(to).details(details)).await
    }

    /// Removes everything about the person but the account's id. Nothing changes if it is erased already.
    ///
    /// # Errors
    ///
    /// `NotFound`: the erasure has not begun, or the account still owns documents. `Unavailable`.
    pub async fn finish_erasure(&self, actor: &Actor, id: UserId) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        // One at a time: others remove what many have, and two of these may meet them in a circle. And
        // nobody gives the account anything meanwhile.
        act.hold(Held::OrganizationOf, id).await?;
        act.hold(Held::User, id).await?;
        let row = sqlx::query(
            "SELECT u.* FROM users u JOIN erasures e ON e.user_id = u.id
             WHERE u.id = $1 AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.owner_id = u.id)",
        )
        .bind(id.to_string())
        .fetch_optional(act.connection())
        .await?;
        let user = User::from_row(&row.ok_or(NO_ACCOUNT)?)?;
        if user.kind == Kind::Erased {
            return Ok(());
        }
        // Whoever removes a link removes the same.
        act.hold(Held::LinksWith, id).await?;
        for statement in [
            "DELETE FROM grants WHERE user_id = $1",
            "DELETE FROM link_users WHERE user_id = $1",
            "DELETE FROM link_removals WHERE user_id = $1",
            "DELETE FROM group_members WHERE user_id = $1",
            "DELETE FROM api_keys WHERE user_id = $1",
            "DELETE FROM identities WHERE user_id = $1",
            "DELETE FROM avatars WHERE user_id = $1",
            "DELETE FROM refresh_tokens WHERE user_id = $1",
            // Also answers to others that name them.
            "DELETE FROM idempotent_answers WHERE user_id = $1 OR answer LIKE '%' || $1 || '%'",
        ] {
            sqlx::query(statement)
                .bind(id.to_string())
                .execute(act.connection())
                .await?;
        }
        sqlx::query(
            "UPDATE users SET kind = 'erased', email = '', email_folded = id, name = $2,
                    name_folded = $4, password_hash = '', administrator = 0, color = -1, avatar_id = '',
                    valid_from_ms = $3, last_seen_at_ms = 0, idle_since_ms = 0
             WHERE id = $1",
        )
        .bind(id.to_string())
        .bind(ERASED_NAME)
        .bind(stored(actor.at_ms))
        .bind(folded(ERASED_NAME))
        .execute(act.connection())
        .await?;
        sqlx::query("UPDATE erasures SET erased_at_ms = $2 WHERE user_id = $1")
            .bind(id.to_string())
            .bind(stored(actor.at_ms))
            .execute(act.connection())
            .await?;
        // From where they acted, and from where somebody tried to be them. Who notes such a thing later
        // finds the account erased.
        act.take_head().await?;
        sqlx::query(
            "DELETE FROM audit_addresses WHERE seq IN
               (SELECT seq FROM audit WHERE actor_id = $1 OR (actor_id = '' AND user_id = $1))",
        )
        .bind(id.to_string())
        .execute(act.connection())
        .await?;
        let entry = Entry::new(AuditAction::AccountErased).user(id);
        act.commit(entry).await
    }

    /// Forgets an erasure that is complete: nothing of the account is left to overwrite.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_erasure(&self, id: UserId) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM erasures WHERE user_id = $1 AND erased_at_ms > 0")
            .bind(id.to_string())
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }
}

/// Records that the account is to be erased, and lets nobody act with it any more.
pub(crate) async fn begin(
    mut act: Act<'_>,
    id: UserId,
    transfer_to: Option<UserId>,
    patient: bool,
) -> Result<(), CatalogError> {
    act.hold(Held::User, id).await?;
    let (user, at_ms) = (act.actor().user, stored(act.actor().at_ms));
    sqlx::query(
        "INSERT INTO erasures (user_id, actor_id, transfer_to, begun_at_ms, erased_at_ms, patient)
         VALUES ($1, $2, $3, $4, 0, $5)
         ON CONFLICT (user_id) DO UPDATE SET transfer_to = excluded.transfer_to,
           patient = CASE excluded.patient WHEN 0 THEN 0 ELSE erasures.patient END",
    )
    .bind(id.to_string())
    .bind(user.map(|user| user.to_string()).unwrap_or_default())
    .bind(transfer_to.map(|heir| heir.to_string()).unwrap_or_default())
    .bind(at_ms)
    .bind(i64::from(patient))
    .execute(act.connection())
    .await?;
    sqlx::query(
        "UPDATE users SET disabled_at_ms = CASE disabled_at_ms WHEN 0 THEN $2
                                           ELSE disabled_at_ms END, valid_from_ms = $2
         WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(at_ms)
    .execute(act.connection())
    .await?;
    for statement in [
        "DELETE FROM refresh_tokens WHERE user_id = $1",
        "DELETE FROM api_keys WHERE user_id = $1",
    ] {
        sqlx::query(statement)
            .bind(id.to_string())
            .execute(act.connection())
            .await?;
    }
    let details = json!({ "transferTo": transfer_to.map(|heir| heir.to_string()) });
    let entry = Entry::new(AuditAction::ErasureBegun).user(id);
    act.commit(entry.details(details)).await
}

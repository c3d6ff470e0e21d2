//! Guests: accounts that were made for whoever opened a share link without one. They may do what their
//! links give, and are of no use once that is over.

use motet_model::{OrganizationId, UserId};

use crate::{Actor, Catalog, CatalogError, erasures, holds::Held, parsed, stored};

/// A guest who may do something on some document, also on one in the trash.
const HAS_RIGHTS: &str = "EXISTS (SELECT 1 FROM document_roles r WHERE r.user_id = users.id
                                  AND (r.until_ms = 0 OR r.until_ms > $1))";

impl Catalog {
    /// Notes which guests have no right on any document any more, and which have one again. Disabled ones
    /// are left to whoever has disabled them.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn note_idle_guests(&self, now_ms: u64) -> Result<(), CatalogError> {
        for (found, since_ms) in [
            (format!("idle_since_ms > 0 AND {HAS_RIGHTS}"), 0),
            (format!("idle_since_ms = 0 AND NOT {HAS_RIGHTS}"), now_ms),
        ] {
            // Others may write meanwhile: whoever acts on what is noted looks again.
            let guests = sqlx::query(sqlx::AssertSqlSafe(format!(
                "SELECT id FROM users WHERE kind = 'guest' AND disabled_at_ms = 0 AND {found}"
            )))
            .bind(stored(now_ms))
            .fetch_all(&mut *self.pool.connection().await?)
            .await?;
            for guest in &guests {
                let id: UserId = parsed(guest, "id")?;
                sqlx::query("UPDATE users SET idle_since_ms = $2 WHERE id = $1")
                    .bind(id.to_string())
                    .bind(stored(since_ms))
                    .execute(&mut *self.pool.connection().await?)
                    .await?;
            }
        }
        Ok(())
    }

    /// Guests who have had no right on any document since `before_ms`, as far as was noted.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn idle_guests(
        &self,
        before_ms: u64,
        limit: u32,
    ) -> Result<Vec<(UserId, OrganizationId)>, CatalogError> {
        let rows = sqlx::query(
            "SELECT id, organization_id FROM users
             WHERE kind = 'guest' AND disabled_at_ms = 0
               AND idle_since_ms > 0 AND idle_since_ms <= $1
             ORDER BY idle_since_ms, id LIMIT $2",
        )
        .bind(stored(before_ms))
        .bind(i64::from(limit))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let guest = |row| Ok((parsed(row, "id")?, parsed(row, "organization_id")?));
        rows.iter().map(guest).collect()
    }

    /// Records that a guest is to be erased, if it has still no right on any document, and returns whether
    /// that is so. Nobody waits until it is done.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn begin_guest_erasure(
        &self,
        actor: &Actor,
        id: UserId,
    ) -> Result<bool, CatalogError> {
        let mut act = self.act(actor).await?;
        // Nobody gives them one meanwhile.
        act.hold(Held::User, id).await?;
        let idle = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT id FROM users WHERE id = $2 AND kind = 'guest' AND disabled_at_ms = 0
               AND NOT {HAS_RIGHTS}"
        )))
        .bind(stored(actor.at_ms))
        .bind(id.to_string())
        .fetch_optional(act.connection())
        .await?;
        if idle.is_none() {
            return Ok(false);
        }
        erasures::begin(act, id, None, true).await?;
        Ok(true)
    }
}

use motet_model::UserId;
use sqlx::Row;

use crate::{Catalog, CatalogError, parsed, stored, time};

/// How long after its use a token may be presented again, as long as the next one is unused.
const GRACE_MS: u64 = 60_000;

/// A refresh token as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Of the token, in hexadecimal.
    pub hash: String,
    /// Common to all tokens that came from one login.
    pub family: String,
    /// Whose.
    pub user: UserId,
    /// When it ends.
    pub expires_at_ms: u64,
}

/// What came of presenting a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was exchanged for the next one.
    Rotated(UserId),
    /// It is unknown, or its time is over.
    Invalid,
    /// It had been exchanged before: someone has a copy, so the whole family has ended.
    Reused,
}

impl Catalog {
    /// Stores the first token of a family.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn add_refresh_token(&self, token: &RefreshToken) -> Result<(), CatalogError> {
        insert(token, &mut *self.pool.acquire().await?).await
    }

    /// Exchanges a token for the next one of its family.
    ///
    /// A token works once. Only when the answer to that may have been lost, shortly after and before
    /// the next token is used, may it be presented again: that next one is then void.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn rotate_refresh_token(
        &self,
        hash: &str,
        next_hash: &str,
        next_expires_at_ms: u64,
        now_ms: u64,
    ) -> Result<Rotation, CatalogError> {
        let mut transaction = self.pool.begin().await?;
        // Marks it first: of two that present a token at once, one waits here for the other.
        let marked = sqlx::query(
            "UPDATE refresh_tokens SET used_at_ms = $2, next_hash = $3
             WHERE hash = $1 AND expires_at_ms > $2 AND (used_at_ms = 0 OR (used_at_ms > $4
                 AND EXISTS (SELECT 1 FROM refresh_tokens AS next
                             WHERE next.hash = refresh_tokens.next_hash AND next.used_at_ms = 0)))",
        )
        .bind(hash)
        .bind(stored(now_ms))
        .bind(next_hash)
        .bind(stored(now_ms.saturating_sub(GRACE_MS)))
        .execute(&mut *transaction)
        .await?;
        let found =
            sqlx::query("SELECT family, user_id, used_at_ms FROM refresh_tokens WHERE hash = $1")
                .bind(hash)
                .fetch_optional(&mut *transaction)
                .await?;
        let Some(row) = found else {
            return Ok(Rotation::Invalid);
        };
        let family: String = row.try_get("family")?;
        let user: UserId = parsed(&row, "user_id")?;
        if marked.rows_affected() == 0 {
            if time(&row, "used_at_ms")? == 0 {
                return Ok(Rotation::Invalid);
            }
            sqlx::query("DELETE FROM refresh_tokens WHERE family = $1")
                .bind(&family)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            return Ok(Rotation::Reused);
        }
        // What was given out before and never used is void, and what has expired is of no use.
        sqlx::query(
            "DELETE FROM refresh_tokens WHERE (family = $1 AND used_at_ms = 0)
                 OR (user_id = $2 AND expires_at_ms <= $3)",
        )
        .bind(&family)
        .bind(user.to_string())
        .bind(stored(now_ms))
        .execute(&mut *transaction)
        .await?;
        let hash = next_hash.to_owned();
        let next = RefreshToken {
            hash,
            family,
            user,
            expires_at_ms: next_expires_at_ms,
        };
        insert(&next, &mut transaction).await?;
        transaction.commit().await?;
        Ok(Rotation::Rotated(user))
    }

    /// Ends the family of a token. One that is unknown has ended already.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn revoke_refresh_token(&self, hash: &str) -> Result<(), CatalogError> {
        sqlx::query(
            "DELETE FROM refresh_tokens
             WHERE family IN (SELECT family FROM refresh_tokens WHERE hash = $1)",
        )
        .bind(hash)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

async fn insert(
    token: &RefreshToken,
    connection: &mut sqlx::AnyConnection,
) -> Result<(), CatalogError> {
    sqlx::query(
        "INSERT INTO refresh_tokens (hash, family, user_id, expires_at_ms, used_at_ms, next_hash)
         VALUES ($1, $2, $3, $4, 0, '')",
    )
    .bind(&token.hash)
    .bind(&token.family)
    .bind(token.user.to_string())
    .bind(stored(token.expires_at_ms))
    .execute(connection)
    .await?;
    Ok(())
}

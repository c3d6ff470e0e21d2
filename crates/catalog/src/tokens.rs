use motet_model::UserId;
use sqlx::Row;

use crate::{Catalog, CatalogError, parsed, stored, time};

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
        sqlx::query(
            "INSERT INTO refresh_tokens (hash, family, user_id, expires_at_ms, used_at_ms)
             VALUES ($1, $2, $3, $4, 0)",
        )
        .bind(&token.hash)
        .bind(&token.family)
        .bind(token.user.to_string())
        .bind(stored(token.expires_at_ms))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Exchanges a token for the next one of its family: exactly one of those who present it gets
    /// `Rotated`.
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
        let found = sqlx::query("SELECT * FROM refresh_tokens WHERE hash = $1")
            .bind(hash)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = found else {
            return Ok(Rotation::Invalid);
        };
        let family: String = row.try_get("family")?;
        let user: UserId = parsed(&row, "user_id")?;
        if time(&row, "expires_at_ms")? <= now_ms {
            return Ok(Rotation::Invalid);
        }
        let mut transaction = self.pool.begin().await?;
        let marked = sqlx::query(
            "UPDATE refresh_tokens SET used_at_ms = $2 WHERE hash = $1 AND used_at_ms = 0",
        )
        .bind(hash)
        .bind(stored(now_ms.max(1)))
        .execute(&mut *transaction)
        .await?;
        if marked.rows_affected() == 0 {
            sqlx::query("DELETE FROM refresh_tokens WHERE family = $1")
                .bind(&family)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            return Ok(Rotation::Reused);
        }
        sqlx::query(
            "INSERT INTO refresh_tokens (hash, family, user_id, expires_at_ms, used_at_ms)
             VALUES ($1, $2, $3, $4, 0)",
        )
        .bind(next_hash)
        .bind(&family)
        .bind(user.to_string())
        .bind(stored(next_expires_at_ms))
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM refresh_tokens WHERE user_id = $1 AND expires_at_ms <= $2")
            .bind(user.to_string())
            .bind(stored(now_ms))
            .execute(&mut *transaction)
            .await?;
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

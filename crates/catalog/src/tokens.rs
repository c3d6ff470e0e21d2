//! Sign-ins: each is a family of refresh tokens, of which one at a time is not used up.
//!
//! # Invariants
//!
//! - **as long as its tokens**: a sign-in lasts while there is a token of its family, used up or not. To end
//!   it is to remove them all.

use motet_model::UserId;
use sqlx::Row;

use crate::{
    Actor, AuditAction, Catalog, CatalogError, Entry, User,
    holds::{Held, hold},
    parsed, stored, time,
};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was exchanged for the next one.
    Rotated {
        /// Whose it is.
        user: UserId,
        /// Its family, which has the next one too.
        family: String,
    },
    /// It is unknown, or its time is over.
    Invalid,
    /// It had been exchanged before: someone has a copy, so the whole family has ended.
    Reused(UserId),
}

impl Catalog {
    /// Stores the first token of a family: somebody has signed in, by the password with the hash
    /// `verified`, or in another way.
    ///
    /// # Errors
    ///
    /// `SignInVoid`: the account has another password by now, or nobody may act with it any more.
    /// `Unavailable`.
    pub async fn sign_in(
        &self,
        actor: &Actor,
        token: &RefreshToken,
        verified: Option<&str>,
        details: serde_json::Value,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        act.hold(Held::User, token.user).await?;
        // To verify a password takes a while, in which it may have been changed.
        let row = sqlx::query("SELECT * FROM users WHERE id = $1")
            .bind(token.user.to_string())
            .fetch_optional(act.connection())
            .await?;
        let user = row.as_ref().map(User::from_row).transpose()?;
        let holds = user.is_some_and(|user| {
            user.is_active() && (verified.is_none() || verified == user.password_hash.as_deref())
        });
        if !holds {
            return Err(CatalogError::SignInVoid);
        }
        insert(token, act.connection()).await?;
        sqlx::query("UPDATE users SET last_seen_at_ms = $2 WHERE id = $1")
            .bind(token.user.to_string())
            .bind(stored(actor.at_ms))
            .execute(act.connection())
            .await?;
        let entry = Entry::new(AuditAction::SignedIn).user(token.user);
        act.commit(entry.details(details)).await
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
        let mut transaction = self.begin().await?;
        // Of two that present a token at once, one waits here for the other; so does whoever ends all
        // sign-ins of the account.
        hold(&mut transaction, Held::UserOf, hash).await?;
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
            return Ok(Rotation::Reused(user));
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
        let next = RefreshToken {
            hash: next_hash.to_owned(),
            family,
            user,
            expires_at_ms: next_expires_at_ms,
        };
        insert(&next, &mut transaction).await?;
        transaction.commit().await?;
        let family = next.family;
        Ok(Rotation::Rotated { user, family })
    }

    /// Ends the family of a token, and says whose it was. One that is unknown has ended already.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn revoke_refresh_token(&self, hash: &str) -> Result<Option<UserId>, CatalogError> {
        let mut transaction = self.begin().await?;
        hold(&mut transaction, Held::UserOf, hash).await?;
        let row = sqlx::query(
            "DELETE FROM refresh_tokens
             WHERE family IN (SELECT family FROM refresh_tokens WHERE hash = $1)
             RETURNING user_id",
        )
        .bind(hash)
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        row.map(|row| parsed(&row, "user_id")).transpose()
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

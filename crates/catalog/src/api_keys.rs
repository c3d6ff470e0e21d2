//! Keys with which programs act for an account.

use motet_model::{ApiKeyId, UserId};
use serde_json::json;
use sqlx::{Row, any::AnyRow};

use crate::{Actor, AuditAction, Catalog, CatalogError, Entry, holds::Held, parsed, stored, time};

/// How often at most the last use of a key is noted.
const USED_INTERVAL_MS: u64 = 60_000;

/// A key as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// For whom it acts.
    pub user: UserId,
    /// What it is called.
    pub name: String,
    /// Of its secret, in hexadecimal.
    pub hash: String,
    /// What it may be used for: words with a space between them.
    pub scopes: String,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it ends, if it does.
    pub expires_at_ms: Option<u64>,
    /// When it was last used, to the minute.
    pub last_used_at_ms: Option<u64>,
}

const NO_KEY: CatalogError = CatalogError::NotFound { what: "API key" };

impl ApiKey {
    fn from_row(row: &AnyRow) -> Result<Self, CatalogError> {
        let when = |column| -> Result<Option<u64>, CatalogError> {
            Ok(Some(time(row, column)?).filter(|time_ms| *time_ms > 0))
        };
        Ok(Self {
            id: parsed(row, "id")?,
            user: parsed(row, "user_id")?,
            name: row.try_get("name")?,
            hash: row.try_get("hash")?,
            scopes: row.try_get("scopes")?,
            created_at_ms: time(row, "created_at_ms")?,
            expires_at_ms: when("expires_at_ms")?,
            last_used_at_ms: when("last_used_at_ms")?,
        })
    }
}

impl Catalog {
    /// Adds a key.
    ///
    /// # Errors
    ///
    /// `NotFound`: no such account. `TooMany`: it has `max` already. `Unavailable`.
    pub async fn create_api_key(
        &self,
        actor: &Actor,
        key: &ApiKey,
        max: u32,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        // Nobody else adds one meanwhile.
        act.hold(Held::User, key.user).await?;
        let row = sqlx::query("SELECT COUNT(*) AS keys FROM api_keys WHERE user_id = $1")
            .bind(key.user.to_string())
            .fetch_one(act.connection())
            .await?;
        if row.try_get::<i64, _>("keys")? >= i64::from(max) {
            let what = "API keys of an account";
            return Err(CatalogError::TooMany { what, max });
        }
        let created = sqlx::query(
            "INSERT INTO api_keys (id, user_id, name, hash, scopes, created_at_ms, expires_at_ms,
                                   last_used_at_ms)
             SELECT $1, u.id, $3, $4, $5, CAST($6 AS BIGINT), CAST($7 AS BIGINT), 0 FROM users u
             WHERE u.id = $2 AND u.kind <> 'erased'",
        )
        .bind(key.id.to_string())
        .bind(key.user.to_string())
        .bind(&key.name)
        .bind(&key.hash)
        .bind(&key.scopes)
        .bind(stored(key.created_at_ms))
        .bind(stored(key.expires_at_ms.unwrap_or(0)))
        .execute(act.connection())
        .await?;
        if created.rows_affected() == 0 {
            return Err(CatalogError::NotFound { what: "account" });
        }
        let details = json!({ "apiKey": key.id.to_string(), "scopes": key.scopes });
        let entry = Entry::new(AuditAction::ApiKeyCreated).user(key.user);
        act.commit(entry.details(details)).await
    }

    /// The account's keys, the oldest first.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn api_keys(&self, user: UserId) -> Result<Vec<ApiKey>, CatalogError> {
        let rows =
            sqlx::query("SELECT * FROM api_keys WHERE user_id = $1 ORDER BY created_at_ms, id")
                .bind(user.to_string())
                .fetch_all(&mut *self.pool.connection().await?)
                .await?;
        rows.iter().map(ApiKey::from_row).collect()
    }

    /// The key with this id, whoever's it is.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, CatalogError> {
        let row = sqlx::query("SELECT * FROM api_keys WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        row.as_ref().map(ApiKey::from_row).transpose()
    }

    /// Notes that a key was used, at most once a minute.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn note_key_used(&self, key: &ApiKey, now_ms: u64) -> Result<(), CatalogError> {
        if key.last_used_at_ms.unwrap_or(0) + USED_INTERVAL_MS > now_ms {
            return Ok(());
        }
        sqlx::query("UPDATE api_keys SET last_used_at_ms = $2 WHERE id = $1")
            .bind(key.id.to_string())
            .bind(stored(now_ms))
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }

    /// Removes a key of the account.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn revoke_api_key(
        &self,
        actor: &Actor,
        user: UserId,
        id: ApiKeyId,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let revoked = sqlx::query("DELETE FROM api_keys WHERE id = $1 AND user_id = $2")
            .bind(id.to_string())
            .bind(user.to_string())
            .execute(act.connection())
            .await?;
        if revoked.rows_affected() == 0 {
            return Err(NO_KEY);
        }
        let entry = Entry::new(AuditAction::ApiKeyRevoked).user(user);
        act.commit(entry.details(json!({ "apiKey": id.to_string() })))
            .await
    }
}

//! The keys that sign access tokens: every node has the same.

use sqlx::Row;

use crate::{Actor, AuditAction, Catalog, CatalogError, Entry, hex, stored, time};

/// One key.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// From when it signs, in ms since the Unix epoch; no two start at once.
    pub starts_ms: u64,
    /// The private key (RFC 8032).
    pub seed: [u8; 32],
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("starts_ms", &self.starts_ms)
            .finish_non_exhaustive()
    }
}

impl Catalog {
    /// All keys, the one that starts first in front.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, CatalogError> {
        let rows = sqlx::query("SELECT starts_ms, seed FROM signing_keys ORDER BY starts_ms")
            .fetch_all(&mut *self.pool.connection().await?)
            .await?;
        let keys = rows.iter().map(|row| {
            let seed: String = row.try_get("seed")?;
            let seed = seed_of(&seed).ok_or_else(|| {
                CatalogError::Unavailable("a signing key is not 32 bytes in hexadecimal".into())
            })?;
            let starts_ms = time(row, "starts_ms")?;
            Ok(SigningKey { starts_ms, seed })
        });
        keys.collect()
    }

    /// Adds keys if there are none at all: of nodes that start at once, one does.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn add_first_signing_keys(&self, keys: &[SigningKey]) -> Result<(), CatalogError> {
        let mut transaction = self.begin().await?;
        let there = sqlx::query("SELECT starts_ms FROM signing_keys LIMIT 1")
            .fetch_optional(&mut *transaction)
            .await?;
        if there.is_some() {
            return Ok(());
        }
        for key in keys {
            // Who was first between the question and here has them.
            sqlx::query(
                "INSERT INTO signing_keys (starts_ms, seed) VALUES ($1, $2)
                 ON CONFLICT (starts_ms) DO NOTHING",
            )
            .bind(stored(key.starts_ms))
            .bind(hex(&key.seed))
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Adds a key, which the audit trail knows as `name`. Whether it was added: not if another starts at
    /// the same time.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn add_signing_key(
        &self,
        actor: &Actor,
        key: &SigningKey,
        name: &str,
    ) -> Result<bool, CatalogError> {
        let mut act = self.act(actor).await?;
        let added = sqlx::query(
            "INSERT INTO signing_keys (starts_ms, seed) VALUES ($1, $2)
             ON CONFLICT (starts_ms) DO NOTHING",
        )
        .bind(stored(key.starts_ms))
        .bind(hex(&key.seed))
        .execute(act.connection())
        .await?;
        if added.rows_affected() == 0 {
            return Ok(false);
        }
        act.commit(noted(AuditAction::KeyRotated, name)).await?;
        Ok(true)
    }

    /// Removes a key, which the audit trail knows as `name`.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn remove_signing_key(
        &self,
        actor: &Actor,
        starts_ms: u64,
        name: &str,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let removed = sqlx::query("DELETE FROM signing_keys WHERE starts_ms = $1")
            .bind(stored(starts_ms))
            .execute(act.connection())
            .await?;
        if removed.rows_affected() == 0 {
            return Err(CatalogError::NotFound { what: "key" });
        }
        act.commit(noted(AuditAction::KeyRemoved, name)).await
    }
}

fn noted(action: AuditAction, name: &str) -> Entry {
    Entry::new(action).details(serde_json::json!({ "key": name }))
}

fn seed_of(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut seed = [0; 32];
    for (place, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(seed)
}

use motet_model::UserId;
use sqlx::{Row, any::AnyRow};

use crate::{Catalog, CatalogError, parsed, stored};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The e-mail address as it was given.
    pub email: String,
    /// The name that others see.
    pub name: String,
    /// The password's hash in PHC form.
    pub password_hash: String,
}

impl User {
    fn from_row(row: &AnyRow) -> Result<Self, CatalogError> {
        Ok(Self {
            id: parsed(row, "id")?,
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            password_hash: row.try_get("password_hash")?,
        })
    }
}

/// One mailbox, one account: addresses are compared without regard to case.
fn folded(email: &str) -> String {
    email.to_lowercase()
}

impl Catalog {
    /// Adds an account.
    ///
    /// # Errors
    ///
    /// `EmailTaken`, `Unavailable`.
    pub async fn create_user(&self, user: &User, now_ms: u64) -> Result<(), CatalogError> {
        let added = sqlx::query(
            "INSERT INTO users (id, email, email_folded, name, password_hash, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(user.id.to_string())
        .bind(&user.email)
        .bind(folded(&user.email))
        .bind(&user.name)
        .bind(&user.password_hash)
        .bind(stored(now_ms))
        .execute(&self.pool)
        .await;
        match added {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(CatalogError::EmailTaken)
            }
            added => Ok(added.map(|_| ())?),
        }
    }

    /// The account with this e-mail address, however it is capitalized.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, CatalogError> {
        let row = sqlx::query("SELECT * FROM users WHERE email_folded = $1")
            .bind(folded(email))
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(User::from_row).transpose()
    }

    /// The account with this id.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, CatalogError> {
        let row = sqlx::query("SELECT * FROM users WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(User::from_row).transpose()
    }

    /// All accounts, by e-mail address.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn users(&self) -> Result<Vec<User>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM users ORDER BY email_folded")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(User::from_row).collect()
    }
}

//! Accounts.

use std::{fmt, str::FromStr};

use motet_model::{OrganizationId, UserId};
use sqlx::{Row, any::AnyRow};

use crate::{
    Actor, AuditAction, Catalog, CatalogError, Entry,
    database::Database,
    holds::{Held, hold},
    none_if_empty, parsed, sought, stored, time,
};

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody who has signed up, or for whom a provider or issuer vouches.
    Member,
    /// Somebody who opened a share link, and may do what that gives.
    Guest,
    /// Nobody any more.
    Erased,
}

impl Kind {
    /// The kind as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Guest => "guest",
            Self::Erased => "erased",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no kind of account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account is member, guest or erased")]
pub struct KindError;

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        [Self::Member, Self::Guest, Self::Erased]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(KindError)
    }
}

/// An account that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// Its id.
    pub id: UserId,
    /// Its organization.
    pub organization: OrganizationId,
    /// Member or guest.
    pub kind: Kind,
    /// The e-mail address as it was given.
    pub email: Option<String>,
    /// The name that others see.
    pub name: String,
    /// The password's hash in PHC form; `None`: nobody signs in with a password.
    pub password_hash: Option<String>,
    /// Whether it manages its organization.
    pub administrator: bool,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its organization.
    pub organization: OrganizationId,
    /// What it is.
    pub kind: Kind,
    /// The e-mail address as it was given.
    pub email: Option<String>,
    /// The name that others see.
    pub name: String,
    /// The password's hash in PHC form.
    pub password_hash: Option<String>,
    /// Whether it manages its organization.
    pub administrator: bool,
    /// The colour that it likes, 0 to 15.
    pub color: Option<u8>,
    /// The id of its picture.
    pub avatar: Option<String>,
    /// When it was made.
    pub created_at_ms: u64,
    /// When it was disabled, if it is.
    pub disabled_at_ms: Option<u64>,
    /// Access tokens from before this time are void.
    pub valid_from_ms: u64,
    /// When it last signed in or renewed a token.
    pub last_seen_at_ms: Option<u64>,
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Avatar {
    /// A random id: whoever knows it may see the picture.
    pub id: String,
    /// `image/png`, …
    pub media_type: String,
    /// In base 64.
    pub image: String,
}

/// What is to change in a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// Another name.
    pub name: Option<String>,
    /// Another colour, or none.
    pub color: Option<Option<u8>>,
}

const NO_ACCOUNT: CatalogError = CatalogError::NotFound { what: "account" };

impl User {
    pub(crate) fn from_row(row: &AnyRow) -> Result<Self, CatalogError> {
        let when = |column| -> Result<Option<u64>, CatalogError> {
            Ok(Some(time(row, column)?).filter(|time_ms| *time_ms > 0))
        };
        Ok(Self {
            id: parsed(row, "id")?,
            organization: parsed(row, "organization_id")?,
            kind: parsed(row, "kind")?,
            email: none_if_empty(row, "email")?,
            name: row.try_get("name")?,
            password_hash: none_if_empty(row, "password_hash")?,
            administrator: row.try_get::<i64, _>("administrator")? != 0,
            color: u8::try_from(row.try_get::<i64, _>("color")?).ok(),
            avatar: none_if_empty(row, "avatar_id")?,
            created_at_ms: time(row, "created_at_ms")?,
            disabled_at_ms: when("disabled_at_ms")?,
            valid_from_ms: time(row, "valid_from_ms")?,
            last_seen_at_ms: when("last_seen_at_ms")?,
        })
    }

    /// Its place in the order of [`Catalog::users`].
    #[must_use]
    pub fn email_folded(&self) -> String {
        self.email
            .as_deref()
            .map_or_else(|| self.id.to_string(), folded)
    }

    /// Whether somebody may act with it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.disabled_at_ms.is_none() && self.kind != Kind::Erased
    }
}

/// As addresses and names are compared: without regard to case, in every script. What databases have for
/// that differs, and SQLite's knows only ASCII.
pub(crate) fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// Folds the names of accounts from before they were kept so.
pub(crate) async fn fold_names(
    pool: &sqlx::AnyPool,
    database: Database,
) -> Result<(), CatalogError> {
    // In one order, for nodes that start at once.
    let unfolded =
        sqlx::query("SELECT id, name FROM users WHERE name_folded = '' AND name <> '' ORDER BY id")
            .fetch_all(pool)
            .await?;
    if unfolded.is_empty() {
        return Ok(());
    }
    let mut transaction = pool.begin_with(database.begin()).await?;
    for row in &unfolded {
        let (id, name): (String, String) = (row.try_get("id")?, row.try_get("name")?);
        sqlx::query("UPDATE users SET name_folded = $3 WHERE id = $1 AND name = $2")
            .bind(id)
            .bind(&name)
            .bind(folded(&name))
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}

/// Adds the row, within the act that it is part of.
pub(crate) async fn insert(
    user: &NewUser,
    actor: &Actor,
    connection: &mut sqlx::AnyConnection,
) -> Result<(), CatalogError> {
    let id = user.id.to_string();
    let email = user.email.as_deref().unwrap_or_default();
    let unique = user.email.as_deref().map_or_else(|| id.clone(), folded);
    let added = sqlx::query(
        "INSERT INTO users (id, email, email_folded, name, password_hash, created_at_ms,
                            organization_id, kind, administrator, last_seen_at_ms, name_folded)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10)",
    )
    .bind(id)
    .bind(email)
    .bind(unique)
    .bind(&user.name)
    .bind(user.password_hash.as_deref().unwrap_or_default())
    .bind(stored(actor.at_ms))
    .bind(user.organization.to_string())
    .bind(user.kind.as_str())
    .bind(i64::from(user.administrator))
    .bind(folded(&user.name))
    .execute(connection)
    .await;
    match added {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(CatalogError::EmailTaken)
        }
        added => Ok(added.map(|_| ())?),
    }
}

impl Catalog {
    /// Adds an account.
    ///
    /// # Errors
    ///
    /// `EmailTaken`, `Unavailable`.
    pub async fn create_user(
        &self,
        actor: &Actor,
        user: &NewUser,
        action: AuditAction,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        insert(user, actor, act.connection()).await?;
        act.commit(Entry::new(action).user(user.id)).await
    }

    /// The account with this e-mail address, however it is capitalized.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, CatalogError> {
        // Whoever has no address is found by none.
        let email = Some(folded(sought(email))).filter(|email| email.contains('@'));
        let row = sqlx::query("SELECT * FROM users WHERE email_folded = $1")
            .bind(email.unwrap_or_default())
            .fetch_optional(&mut *self.pool.connection().await?)
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
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        row.as_ref().map(User::from_row).transpose()
    }

    /// The same, and whether its sign-in with this family of refresh tokens has not ended.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn user_signed_in(
        &self,
        id: UserId,
        family: &str,
    ) -> Result<Option<(User, bool)>, CatalogError> {
        let row = sqlx::query(
            "SELECT u.*, (SELECT COUNT(*) FROM refresh_tokens
                          WHERE family = $2 AND user_id = u.id) AS family_tokens
             FROM users u WHERE u.id = $1",
        )
        .bind(id.to_string())
        .bind(family)
        .fetch_optional(&mut *self.pool.connection().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let is_signed_in = row.try_get::<i64, _>("family_tokens")? > 0;
        Ok(Some((User::from_row(&row)?, is_signed_in)))
    }

    /// Accounts by e-mail address, those after `after` (a folded address): of an organization or all,
    /// whose name or address has `part` in it. Erased ones are not listed.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn users(
        &self,
        organization: Option<OrganizationId>,
        part: &str,
        limit: u32,
        after: &str,
    ) -> Result<Vec<User>, CatalogError> {
        let organization = organization.map(|id| id.to_string()).unwrap_or_default();
        let (part, after) = (sought(part), sought(after));
        let rows = sqlx::query(
            "SELECT * FROM users
             WHERE kind <> 'erased' AND email_folded > $1 AND ($2 = '' OR organization_id = $2)
               AND ($3 = '' OR name_folded LIKE $4 ESCAPE '!' OR email_folded LIKE $4 ESCAPE '!')
             ORDER BY email_folded LIMIT $5",
        )
        .bind(after)
        .bind(organization)
        .bind(part)
        .bind(contains(&folded(part)))
        .bind(i64::from(limit))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        rows.iter().map(User::from_row).collect()
    }

    /// Changes how the account looks to others.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn change_profile(
        &self,
        actor: &Actor,
        id: UserId,
        change: &ProfileChange,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let color = change.color.map(|color| color.map_or(-1, i64::from));
        let changed = sqlx::query(
            "UPDATE users SET name = COALESCE($2, name), color = COALESCE($3, color),
                    name_folded = COALESCE($4, name_folded)
             WHERE id = $1 AND kind <> 'erased'",
        )
        .bind(id.to_string())
        .bind(&change.name)
        .bind(color)
        .bind(change.name.as_deref().map(folded))
        .execute(act.connection())
        .await?;
        if changed.rows_affected() == 0 {
            return Err(NO_ACCOUNT);
        }
        act.commit(Entry::new(AuditAction::ProfileChanged).user(id))
            .await
    }

    /// Gives the account another picture, or none.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn change_avatar(
        &self,
        actor: &Actor,
        id: UserId,
        avatar: Option<&Avatar>,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        // The account first: of two who change it at once, one waits here and then finds the other's.
        let changed =
            sqlx::query("UPDATE users SET avatar_id = $2 WHERE id = $1 AND kind <> 'erased'")
                .bind(id.to_string())
                .bind(avatar.map_or("", |avatar| avatar.id.as_str()))
                .execute(act.connection())
                .await?;
        if changed.rows_affected() == 0 {
            return Err(NO_ACCOUNT);
        }
        sqlx::query("DELETE FROM avatars WHERE user_id = $1")
            .bind(id.to_string())
            .execute(act.connection())
            .await?;
        if let Some(avatar) = avatar {
            sqlx::query(
                "INSERT INTO avatars (id, user_id, media_type, image) VALUES ($1, $2, $3, $4)",
            )
            .bind(&avatar.id)
            .bind(id.to_string())
            .bind(&avatar.media_type)
            .bind(&avatar.image)
            .execute(act.connection())
            .await?;
        }
        act.commit(Entry::new(AuditAction::ProfileChanged).user(id))
            .await
    }

    /// The picture with this id.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn avatar(&self, id: &str) -> Result<Avatar, CatalogError> {
        let row = sqlx::query("SELECT id, media_type, image FROM avatars WHERE id = $1")
            .bind(sought(id))
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        let row = row.ok_or(CatalogError::NotFound { what: "avatar" })?;
        Ok(Avatar {
            id: row.try_get("id")?,
            media_type: row.try_get("media_type")?,
            image: row.try_get("image")?,
        })
    }

    /// Gives the account another password, and ends all its sign-ins: refresh tokens, and access tokens
    /// from before.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn change_password(
        &self,
        actor: &Actor,
        id: UserId,
        password_hash: &str,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let changed =
            sqlx::query("UPDATE users SET password_hash = $2, valid_from_ms = $3 WHERE id = $1")
                .bind(id.to_string())
                .bind(password_hash)
                .bind(stored(actor.at_ms))
                .execute(act.connection())
                .await?;
        if changed.rows_affected() == 0 {
            return Err(NO_ACCOUNT);
        }
        end_sign_ins(id, act.connection()).await?;
        act.commit(Entry::new(AuditAction::PasswordChanged).user(id))
            .await
    }

    /// Lets nobody act with the account any more, or lets it again. Its sign-ins end.
    ///
    /// # Errors
    ///
    /// `NotFound`. `LastAdministrator`: nobody else could manage its organization. `Unavailable`.
    pub async fn set_disabled(
        &self,
        actor: &Actor,
        id: UserId,
        disabled: bool,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        if disabled {
            keep_an_administrator(id, act.connection()).await?;
        }
        let at_ms = if disabled { actor.at_ms } else { 0 };
        let changed = sqlx::query(
            "UPDATE users SET disabled_at_ms = $2, valid_from_ms = $3
             WHERE id = $1 AND kind <> 'erased'",
        )
        .bind(id.to_string())
        .bind(stored(at_ms))
        .bind(stored(actor.at_ms))
        .execute(act.connection())
        .await?;
        if changed.rows_affected() == 0 {
            return Err(NO_ACCOUNT);
        }
        end_sign_ins(id, act.connection()).await?;
        let action = if disabled {
            AuditAction::AccountDisabled
        } else {
            AuditAction::AccountEnabled
        };
        act.commit(Entry::new(action).user(id)).await
    }

    /// Makes a member an administrator of its organization, or no longer.
    ///
    /// # Errors
    ///
    /// `NotFound`: also for guests. `LastAdministrator`: nobody else could manage its organization.
    /// `Unavailable`.
    pub async fn set_administrator(
        &self,
        actor: &Actor,
        id: UserId,
        administrator: bool,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        if !administrator {
            keep_an_administrator(id, act.connection()).await?;
        }
        let changed =
            sqlx::query("UPDATE users SET administrator = $2 WHERE id = $1 AND kind = 'member'")
                .bind(id.to_string())
                .bind(i64::from(administrator))
                .execute(act.connection())
                .await?;
        if changed.rows_affected() == 0 {
            return Err(NO_ACCOUNT);
        }
        let action = if administrator {
            AuditAction::AdministratorMade
        } else {
            AuditAction::AdministratorUnmade
        };
        act.commit(Entry::new(action).user(id)).await
    }

    /// Notes that the account was used.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn note_seen(&self, id: UserId, now_ms: u64) -> Result<(), CatalogError> {
        sqlx::query("UPDATE users SET last_seen_at_ms = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(stored(now_ms))
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }
}

/// Somebody else can manage the account's organization, if the account is one of those who can. Within an
/// act that holds the organization from here on, so that of two who give it up at once one remains.
async fn keep_an_administrator(
    id: UserId,
    connection: &mut sqlx::AnyConnection,
) -> Result<(), CatalogError> {
    hold(connection, Held::OrganizationOf, id).await?;
    let row = sqlx::query(
        "SELECT COUNT(*) AS last FROM users u
         WHERE u.id = $1 AND u.kind = 'member' AND u.administrator = 1 AND u.disabled_at_ms = 0
           AND NOT EXISTS (SELECT 1 FROM users o
                           WHERE o.organization_id = u.organization_id AND o.id <> u.id
                             AND o.kind = 'member' AND o.administrator = 1
                             AND o.disabled_at_ms = 0)",
    )
    .bind(id.to_string())
    .fetch_one(connection)
    .await?;
    if row.try_get::<i64, _>("last")? > 0 {
        return Err(CatalogError::LastAdministrator);
    }
    Ok(())
}

async fn end_sign_ins(
    id: UserId,
    connection: &mut sqlx::AnyConnection,
) -> Result<(), CatalogError> {
    sqlx::query("DELETE FROM refresh_tokens WHERE user_id = $1")
        .bind(id.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// A pattern for `LIKE … ESCAPE '!'` that finds `part` anywhere.
fn contains(part: &str) -> String {
    let mut pattern = String::from("%");
    for char in part.chars() {
        if matches!(char, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(char);
    }
    pattern.push('%');
    pattern
}

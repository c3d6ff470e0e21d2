//! Organizations and their groups.

use motet_model::{GroupId, OrganizationId, UserId};
use sqlx::{Row, any::AnyRow};

use crate::{Actor, AuditAction, Catalog, CatalogError, Entry, User, holds::Held, parsed, stored};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
}

/// Accounts that are given rights together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// How many accounts belong to it.
    pub members: u64,
}

const NO_GROUP: CatalogError = CatalogError::NotFound { what: "group" };
const NO_ORGANIZATION: CatalogError = CatalogError::NotFound {
    what: "organization",
};

impl Organization {
    fn from_row(row: &AnyRow) -> Result<Self, CatalogError> {
        Ok(Self {
            id: parsed(row, "id")?,
            name: row.try_get("name")?,
        })
    }
}

impl Catalog {
    /// Adds an organization.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn create_organization(
        &self,
        actor: &Actor,
        organization: &Organization,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        sqlx::query("INSERT INTO organizations (id, name, created_at_ms) VALUES ($1, $2, $3)")
            .bind(organization.id.to_string())
            .bind(&organization.name)
            .bind(stored(actor.at_ms))
            .execute(act.connection())
            .await?;
        act.commit(Entry::new(AuditAction::OrganizationCreated))
            .await
    }

    /// The organization.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn organization(&self, id: OrganizationId) -> Result<Organization, CatalogError> {
        let row = sqlx::query("SELECT id, name FROM organizations WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.pool.connection().await?)
            .await?;
        Organization::from_row(&row.ok_or(NO_ORGANIZATION)?)
    }

    /// The oldest organization of this name.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn organization_named(
        &self,
        name: &str,
    ) -> Result<Option<Organization>, CatalogError> {
        let row = sqlx::query(
            "SELECT id, name FROM organizations WHERE name = $1
             ORDER BY created_at_ms, id LIMIT 1",
        )
        .bind(name)
        .fetch_optional(&mut *self.pool.connection().await?)
        .await?;
        row.as_ref().map(Organization::from_row).transpose()
    }

    /// All organizations, the oldest first.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn organizations(&self) -> Result<Vec<Organization>, CatalogError> {
        let rows = sqlx::query("SELECT id, name FROM organizations ORDER BY created_at_ms, id")
            .fetch_all(&mut *self.pool.connection().await?)
            .await?;
        rows.iter().map(Organization::from_row).collect()
    }

    /// Gives the organization another name.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn rename_organization(
        &self,
        actor: &Actor,
        id: OrganizationId,
        name: &str,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let renamed = sqlx::query("UPDATE organizations SET name = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(name)
            .execute(act.connection())
            .await?;
        if renamed.rows_affected() == 0 {
            return Err(NO_ORGANIZATION);
        }
        act.commit(Entry::new(AuditAction::OrganizationRenamed))
            .await
    }

    /// Adds a group to the actor's organization.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn create_group(
        &self,
        actor: &Actor,
        id: GroupId,
        name: &str,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        sqlx::query(
            "INSERT INTO user_groups (id, organization_id, name, created_at_ms)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(id.to_string())
        .bind(actor.organization.to_string())
        .bind(name)
        .bind(stored(actor.at_ms))
        .execute(act.connection())
        .await?;
        act.commit(noted(AuditAction::GroupCreated, id)).await
    }

    /// The organization's groups, by name.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn groups(&self, organization: OrganizationId) -> Result<Vec<Group>, CatalogError> {
        let rows = sqlx::query(
            "SELECT g.id, g.name, (SELECT COUNT(*) FROM group_members m WHERE m.group_id = g.id)
                    AS members
             FROM user_groups g WHERE g.organization_id = $1 ORDER BY g.name, g.id",
        )
        .bind(organization.to_string())
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        rows.iter().map(group).collect()
    }

    /// The group, if it is of this organization.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn group(
        &self,
        organization: OrganizationId,
        id: GroupId,
    ) -> Result<Group, CatalogError> {
        let row = sqlx::query(
            "SELECT g.id, g.name, (SELECT COUNT(*) FROM group_members m WHERE m.group_id = g.id)
                    AS members
             FROM user_groups g WHERE g.organization_id = $1 AND g.id = $2",
        )
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_optional(&mut *self.pool.connection().await?)
        .await?;
        group(&row.ok_or(NO_GROUP)?)
    }

    /// Gives a group of the actor's organization another name.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn rename_group(
        &self,
        actor: &Actor,
        id: GroupId,
        name: &str,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let renamed =
            sqlx::query("UPDATE user_groups SET name = $3 WHERE id = $1 AND organization_id = $2")
                .bind(id.to_string())
                .bind(actor.organization.to_string())
                .bind(name)
                .execute(act.connection())
                .await?;
        if renamed.rows_affected() == 0 {
            return Err(NO_GROUP);
        }
        act.commit(noted(AuditAction::GroupRenamed, id)).await
    }

    /// Removes a group of the actor's organization, and the rights that it gave.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn delete_group(&self, actor: &Actor, id: GroupId) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let deleted = sqlx::query("DELETE FROM user_groups WHERE id = $1 AND organization_id = $2")
            .bind(id.to_string())
            .bind(actor.organization.to_string())
            .execute(act.connection())
            .await?;
        if deleted.rows_affected() == 0 {
            return Err(NO_GROUP);
        }
        act.commit(noted(AuditAction::GroupDeleted, id)).await
    }

    /// Who belongs to the group, by name.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn group_members(&self, id: GroupId) -> Result<Vec<User>, CatalogError> {
        let rows = sqlx::query(
            "SELECT u.* FROM users u JOIN group_members m ON m.user_id = u.id
             WHERE m.group_id = $1 ORDER BY u.name, u.id",
        )
        .bind(id.to_string())
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        rows.iter().map(User::from_row).collect()
    }

    /// Adds a member of the actor's organization to one of its groups. To add them once more changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// `NotFound`: no such group or account there. `Unavailable`.
    pub async fn join_group(
        &self,
        actor: &Actor,
        id: GroupId,
        user: UserId,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        // All on the act's own connection: whoever holds one and waits for another may wait for those who
        // do the same.
        act.hold(Held::User, user).await?;
        act.hold(Held::Group, id).await?;
        let group =
            sqlx::query("SELECT id FROM user_groups WHERE id = $1 AND organization_id = $2")
                .bind(id.to_string())
                .bind(actor.organization.to_string())
                .fetch_optional(act.connection())
                .await?;
        group.ok_or(NO_GROUP)?;
        let account = sqlx::query(
            "SELECT id FROM users WHERE id = $1 AND organization_id = $2 AND kind = 'member'",
        )
        .bind(user.to_string())
        .bind(actor.organization.to_string())
        .fetch_optional(act.connection())
        .await?;
        account.ok_or(CatalogError::NotFound { what: "account" })?;
        let joined = sqlx::query(
            "INSERT INTO group_members (group_id, user_id) VALUES ($1, $2)
             ON CONFLICT (group_id, user_id) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(user.to_string())
        .execute(act.connection())
        .await?;
        if joined.rows_affected() == 0 {
            return Ok(());
        }
        act.commit(noted(AuditAction::GroupJoined, id).user(user))
            .await
    }

    /// Takes an account out of a group of the actor's organization.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Unavailable`.
    pub async fn leave_group(
        &self,
        actor: &Actor,
        id: GroupId,
        user: UserId,
    ) -> Result<(), CatalogError> {
        let mut act = self.act(actor).await?;
        let left = sqlx::query(
            "DELETE FROM group_members WHERE group_id = $1 AND user_id = $2
               AND group_id IN (SELECT id FROM user_groups WHERE organization_id = $3)",
        )
        .bind(id.to_string())
        .bind(user.to_string())
        .bind(actor.organization.to_string())
        .execute(act.connection())
        .await?;
        if left.rows_affected() == 0 {
            return Err(CatalogError::NotFound { what: "member" });
        }
        act.commit(noted(AuditAction::GroupLeft, id).user(user))
            .await
    }
}

fn group(row: &AnyRow) -> Result<Group, CatalogError> {
    Ok(Group {
        id: parsed(row, "id")?,
        name: row.try_get("name")?,
        members: u64::try_from(row.try_get::<i64, _>("members")?).unwrap_or(0),
    })
}

fn noted(action: AuditAction, id: GroupId) -> Entry {
    Entry::new(action).details(serde_json::json!({ "group": id.to_string() }))
}

//! The nodes that run, as they say themselves; when they did, the database's clock says.

use motet_model::NodeId;
use sqlx::{AssertSqlSafe, Row};

use crate::{Catalog, CatalogError, parsed, stored};

/// A node and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Where other nodes reach it, like `http://10.0.0.5:8080`.
    pub url: String,
}

impl Catalog {
    /// Says that the node is there.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn announce_node(&self, node: &Node) -> Result<(), CatalogError> {
        let now_ms = self.database.now_ms();
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO nodes (id, url, seen_ms) VALUES ($1, $2, {now_ms})
             ON CONFLICT (id) DO UPDATE SET url = excluded.url, seen_ms = excluded.seen_ms",
        )))
        .bind(node.id.to_string())
        .bind(&node.url)
        .execute(&mut *self.pool.connection().await?)
        .await?;
        Ok(())
    }

    /// The nodes that have said so at most so long ago, in the order in which they started.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn nodes(&self, age_ms: u64) -> Result<Vec<Node>, CatalogError> {
        let now_ms = self.database.now_ms();
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT id, url FROM nodes WHERE seen_ms >= {now_ms} - $1 ORDER BY id"
        )))
        .bind(stored(age_ms))
        .fetch_all(&mut *self.pool.connection().await?)
        .await?;
        let node = |row| {
            Ok(Node {
                id: parsed(row, "id")?,
                url: row.try_get("url")?,
            })
        };
        rows.iter().map(node).collect()
    }

    /// Says that the node is gone.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_node(&self, id: NodeId) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM nodes WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }

    /// Forgets the nodes that have said nothing for longer.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_nodes(&self, age_ms: u64) -> Result<(), CatalogError> {
        let now_ms = self.database.now_ms();
        let delete = format!("DELETE FROM nodes WHERE seen_ms < {now_ms} - $1");
        sqlx::query(AssertSqlSafe(delete))
            .bind(stored(age_ms))
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }
}

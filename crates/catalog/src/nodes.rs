//! The nodes that run, as they say themselves.

use motet_model::NodeId;
use sqlx::Row;

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
    pub async fn announce_node(&self, node: &Node, now_ms: u64) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO nodes (id, url, seen_ms) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET url = excluded.url, seen_ms = excluded.seen_ms",
        )
        .bind(node.id.to_string())
        .bind(&node.url)
        .bind(stored(now_ms))
        .execute(&mut *self.pool.connection().await?)
        .await?;
        Ok(())
    }

    /// The nodes that have said so since `since_ms`, in the order in which they started.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn nodes(&self, since_ms: u64) -> Result<Vec<Node>, CatalogError> {
        let rows = sqlx::query("SELECT id, url FROM nodes WHERE seen_ms >= $1 ORDER BY id")
            .bind(stored(since_ms))
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

    /// Forgets the nodes that have said nothing since `before_ms`.
    ///
    /// # Errors
    ///
    /// `Unavailable`.
    pub async fn forget_nodes_before(&self, before_ms: u64) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM nodes WHERE seen_ms < $1")
            .bind(stored(before_ms))
            .execute(&mut *self.pool.connection().await?)
            .await?;
        Ok(())
    }
}

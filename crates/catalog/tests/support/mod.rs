//! People, documents and a catalog to put them into.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(unused_macros, unused_imports, reason = "as above")]

use motet_catalog::{Actor, AuditAction, Catalog, Kind, Link, NewDocument, NewLink, NewUser, Role};
use motet_model::{DocumentId, GroupId, LinkId, OrganizationId, UserId};
use motet_testing::Schema;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

pub(crate) const NOW: u64 = 1_700_000_000_000;
pub(crate) const LATER: u64 = NOW + 86_400_000;

/// An empty database, which is gone when this is dropped.
pub(crate) enum Store {
    Sqlite(TempDir),
    Postgres(Schema),
}

/// Makes a test of each function that takes a `&Store`, on each database.
macro_rules! on_each_store {
    ($($test:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&super::Store::sqlite()).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&super::Store::postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_each_store;

impl Store {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(TempDir::new().unwrap())
    }

    pub(crate) async fn postgres() -> Self {
        Self::Postgres(Schema::new().await)
    }

    /// What [`Catalog::open`] takes.
    pub(crate) fn location(&self) -> String {
        match self {
            Self::Sqlite(folder) => folder.path().join("catalog.db").display().to_string(),
            Self::Postgres(schema) => schema.url(),
        }
    }

    pub(crate) async fn open(&self) -> Catalog {
        Catalog::open(&self.location()).await.unwrap()
    }

    /// A connection of somebody who has nothing to do with the catalog.
    pub(crate) async fn connection(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        match self {
            Self::Sqlite(_) => {
                let file = format!("sqlite://{}", self.location());
                AnyConnection::connect(&file).await.unwrap()
            }
            Self::Postgres(schema) => {
                let url = format!("{}&application_name=test", schema.url());
                AnyConnection::connect(&url).await.unwrap()
            }
        }
    }

    pub(crate) async fn execute(&self, statements: &'static str) {
        let mut connection = self.connection().await;
        let done = sqlx::raw_sql(statements).execute(&mut connection).await;
        done.unwrap();
        connection.close().await.unwrap();
    }

    /// The one number that a query has for an answer.
    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        let mut connection = self.connection().await;
        let row = sqlx::query(query).fetch_one(&mut connection).await;
        row.unwrap().try_get(0).unwrap()
    }

    /// Removes everything.
    pub(crate) async fn empty(&self) {
        match self {
            Self::Sqlite(folder) => {
                for file in std::fs::read_dir(folder.path()).unwrap() {
                    std::fs::remove_file(file.unwrap().path()).unwrap();
                }
            }
            Self::Postgres(schema) => {
                let name = schema.name();
                let made = format!(
                    "SET client_min_messages = warning; SET lock_timeout = '10s';
                     DROP SCHEMA {name} CASCADE; CREATE SCHEMA {name}"
                );
                schema.execute(&made).await;
            }
        }
    }

    /// The bytes of the closed database's file; in PostgreSQL, of the file of that table.
    pub(crate) async fn bytes(&self, table: &str) -> Vec<u8> {
        match self {
            Self::Sqlite(folder) => std::fs::read(folder.path().join("catalog.db")).unwrap(),
            Self::Postgres(_) => {
                let mut connection = self.connection().await;
                sqlx::query("CHECKPOINT")
                    .execute(&mut connection)
                    .await
                    .unwrap();
                let row =
                    sqlx::query("SELECT pg_read_binary_file(pg_relation_filepath($1)) AS bytes")
                        .bind(table)
                        .fetch_one(&mut connection)
                        .await;
                row.unwrap().try_get("bytes").unwrap()
            }
        }
    }
}

pub(crate) fn user(n: u8) -> NewUser {
    NewUser {
        id: UserId::from_bytes([n; 16]),
        organization: OrganizationId::DEFAULT,
        kind: Kind::Member,
        email: Some(format!("User{n}@Example.com")),
        name: format!("User {n}"),
        password_hash: Some("hash".to_owned()),
        administrator: false,
    }
}

/// The user who acts.
pub(crate) fn actor(n: u8) -> Actor {
    Actor {
        user: Some(UserId::from_bytes([n; 16])),
        organization: OrganizationId::DEFAULT,
        address: "192.0.2.7".to_owned(),
        nonce: [n; 16],
        at_ms: NOW,
    }
}

pub(crate) fn document(n: u8) -> DocumentId {
    DocumentId::from_bytes([n; 16])
}

pub(crate) async fn with_users(store: &Store, count: u8) -> Catalog {
    let catalog = store.open().await;
    for n in 1..=count {
        catalog
            .create_user(&actor(n), &user(n), AuditAction::AccountRegistered)
            .await
            .unwrap();
    }
    catalog
}

/// A document of that user's.
pub(crate) async fn create(catalog: &Catalog, n: u8, owner: u8) {
    create_at(catalog, n, owner, &actor(owner)).await;
}

pub(crate) async fn create_at(catalog: &Catalog, n: u8, owner: u8, actor: &Actor) {
    let new = NewDocument {
        id: document(n),
        title: "Title".to_owned(),
        owner: user(owner).id,
    };
    catalog.create_document(actor, &new).await.unwrap();
}

pub(crate) async fn group(catalog: &Catalog, n: u8) -> GroupId {
    let id = GroupId::from_bytes([n; 16]);
    catalog.create_group(&actor(1), id, "Group").await.unwrap();
    id
}

pub(crate) async fn link(catalog: &Catalog, n: u8, role: Role, expires_at_ms: Option<u64>) -> Link {
    let new = NewLink {
        id: LinkId::from_bytes([n; 16]),
        document: document(n),
        token: format!("token {n}"),
        role,
        password_hash: None,
        expires_at_ms,
    };
    catalog.create_link(&actor(1), &new, 100).await.unwrap();
    catalog.link(&new.token, NOW).await.unwrap()
}

/// What the user may do with the document.
pub(crate) async fn role_of(catalog: &Catalog, user_n: u8, document_n: u8) -> Option<Role> {
    let rights = catalog.rights(user(user_n).id, document(document_n), NOW);
    rights.await.unwrap().map(|rights| rights.role)
}

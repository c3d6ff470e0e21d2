//! What tests on PostgreSQL share.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod proxy;

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    thread,
};

use bytes::Bytes;
use motet_log::{PostgresLog, PostgresSettings};
use motet_model::{Change, UserId};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A schema of its own in the test database, which goes with it.
pub(crate) struct Schema {
    server: String,
    pub(crate) name: String,
}

impl Schema {
    pub(crate) async fn new() -> Self {
        let server = std::env::var("MOTET_TEST_POSTGRES")
            .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".to_owned());
        let random = RandomState::new().build_hasher().finish();
        let schema = Self {
            server,
            name: format!("log_test_{random:016x}"),
        };
        schema
            .execute(&format!("CREATE SCHEMA {}", schema.name))
            .await;
        schema
    }

    /// The address of this schema; connections bear its name.
    pub(crate) fn url(&self) -> String {
        let mark = if self.server.contains('?') { '&' } else { '?' };
        let (server, name) = (&self.server, &self.name);
        format!("{server}{mark}options=-c%20search_path%3D{name}&application_name={name}")
    }

    pub(crate) async fn open(&self) -> PostgresLog {
        PostgresLog::open(&self.url(), PostgresSettings::default())
            .await
            .unwrap()
    }

    /// A connection beside the log's, with another name.
    pub(crate) async fn connect(&self) -> PgConnection {
        let url = format!("{}&application_name=test", self.url());
        let connection = PgConnection::connect(&url).await;
        connection.unwrap_or_else(|error| {
            panic!(
                "the tests need PostgreSQL at {}: `make services` starts it ({error})",
                self.server
            )
        })
    }

    pub(crate) async fn execute(&self, statements: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // The test's own runtime is busy with this.
        let dropping = thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                let mut connection = PgConnection::connect(&server).await?;
                sqlx::raw_sql(AssertSqlSafe(format!(
                    "DROP SCHEMA IF EXISTS {name} CASCADE"
                )))
                .execute(&mut connection)
                .await
            })
        });
        if let Err(error) = dropping.join().unwrap() {
            eprintln!("schema {} is left: {error}", self.name);
        }
    }
}

pub(crate) fn change(seq: u64) -> Change {
    Change {
        author: UserId::from_bytes([1; 16]),
        client_id: "client".parse().unwrap(),
        seq,
        merged: false,
        time_ms: seq,
        delta: Bytes::from(seq.to_string()),
        update: Bytes::new(),
    }
}

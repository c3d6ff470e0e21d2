//! A place in PostgreSQL for one test.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    thread,
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Where the tests' PostgreSQL is, unless `MOTET_TEST_POSTGRES` says otherwise.
const SERVER: &str = "postgres://postgres@127.0.0.1:5432/test";

/// A schema of its own in the test database, which goes with it.
#[derive(Debug)]
pub struct Schema {
    server: String,
    name: String,
}

impl Schema {
    /// Makes an empty schema.
    pub async fn new() -> Self {
        let server = std::env::var("MOTET_TEST_POSTGRES").unwrap_or_else(|_| SERVER.to_owned());
        Self::on(server).await
    }

    /// Makes an empty schema in the database at this URL.
    pub async fn on(server: String) -> Self {
        let random = RandomState::new().build_hasher().finish();
        let schema = Self {
            server,
            name: format!("test_{random:016x}"),
        };
        schema
            .execute(&format!("CREATE SCHEMA {}", schema.name))
            .await;
        schema
    }

    /// Its name, which its connections bear too.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of this schema.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_in(&self.server)
    }

    /// The address of this schema for those who reach the server at `host:port`.
    #[must_use]
    pub fn url_through(&self, address: &str) -> String {
        self.url_in(&self.server.replacen(self.host(), address, 1))
    }

    /// The server's `host:port`.
    #[must_use]
    pub fn host(&self) -> &str {
        let (_, rest) = self.server.split_once("://").unwrap();
        let authority = rest.split(['/', '?']).next().unwrap();
        authority.rsplit('@').next().unwrap()
    }

    fn url_in(&self, server: &str) -> String {
        let mark = if server.contains('?') { '&' } else { '?' };
        let name = &self.name;
        format!("{server}{mark}options=-c%20search_path%3D{name}&application_name={name}")
    }

    /// A connection beside those of whoever is tested, with another name.
    pub async fn connect(&self) -> PgConnection {
        let url = format!("{}&application_name=test", self.url());
        let connection = PgConnection::connect(&url).await;
        connection.unwrap_or_else(|error| {
            panic!(
                "the tests need PostgreSQL at {}: `make services` starts it ({error})",
                self.server
            )
        })
    }

    /// Executes statements on such a connection.
    pub async fn execute(&self, statements: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// Ends all connections of those who are tested, if the server is there.
    pub async fn terminate_connections(&self) {
        let url = format!("{}&application_name=test", self.url());
        if let Ok(mut connection) = PgConnection::connect(&url).await {
            let terminate = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'",
                self.name
            );
            let _ended = sqlx::raw_sql(AssertSqlSafe(terminate))
                .execute(&mut connection)
                .await;
        }
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

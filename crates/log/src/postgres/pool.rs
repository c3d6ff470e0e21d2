//! Whatever does not append: statements that can be asked again, on connections of their own.

use std::time::Duration;

use sqlx::{
    PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow},
    query::Query,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    PostgresSettings,
    failure::{Failure, Pauses},
    schema,
};

/// How long a connection may be idle: shorter than what lies between keeps silent ones in mind.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections, made as needed.
#[derive(Debug)]
pub(super) struct Pool {
    pool: PgPool,
    give_up_after: Duration,
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, settings: &PostgresSettings) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(settings.readers_max.max(1))
            .acquire_timeout(schema::CONNECT_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            // A round trip for each statement: what is broken is found out, and the statement asked again.
            .test_before_acquire(false)
            .after_connect(|connection, _| Box::pin(schema::prepare(connection)))
            .connect_lazy_with(options);
        Self {
            pool,
            give_up_after: settings.give_up_after,
        }
    }

    /// Asks one statement, until there is an answer or no hope. The statement must be one that may be
    /// done twice. `answer_timeout` is for each time.
    pub(super) async fn ask<'q>(
        &self,
        answer_timeout: Duration,
        statement: impl Fn() -> Query<'q, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Failure> {
        let give_up = Instant::now() + self.give_up_after;
        let mut sent = false;
        let mut pauses = Pauses::new();
        loop {
            let failure = match self.attempt(answer_timeout, statement()).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => failure,
            };
            sent |= failure.sent;
            let pause = pauses.next();
            if !failure.passing || Instant::now() + pause > give_up {
                return Err(Failure { sent, ..failure });
            }
            sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        answer_timeout: Duration,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Failure> {
        let connection = self.pool.acquire().await;
        let mut lease = Lease(Some(
            connection.map_err(|error| Failure::from(error).unsent())?,
        ));
        let answer = timeout(answer_timeout, statement.fetch_all(lease.connection())).await;
        let rows = answer.map_err(|_| Failure::timeout())??;
        lease.give_back();
        Ok(rows)
    }
}

/// A connection that goes back to the pool only if it is given back: of one in an unknown state, the pool
/// would wait for the rest of an answer, perhaps for ever.
struct Lease(Option<PoolConnection<Postgres>>);

impl Lease {
    fn connection(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("it is there until it is dropped")
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

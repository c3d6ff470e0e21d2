//! What tests on real servers share.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod proxy;

use std::{
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    thread,
    time::Duration,
};

use async_nats::jetstream;
use bytes::Bytes;
use motet_bus::{BusSettings, EventKind};
use tokio::time::{sleep, timeout};

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Redis,
    Nats,
}

impl Server {
    /// Its address without a scheme: `host:port`.
    pub(crate) fn address(self) -> String {
        let (name, local) = match self {
            Self::Redis => ("MOTET_TEST_REDIS", "127.0.0.1:6379"),
            Self::Nats => ("MOTET_TEST_NATS", "127.0.0.1:4222"),
        };
        std::env::var(name).unwrap_or_else(|_| local.to_owned())
    }

    pub(crate) fn url_of(self, address: impl std::fmt::Display) -> String {
        match self {
            Self::Redis => format!("redis://{address}"),
            Self::Nats => format!("nats://{address}"),
        }
    }

    pub(crate) fn url(self) -> String {
        self.url_of(self.address())
    }
}

/// Names of its own on a server; streams under them go with it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) prefix: String,
}

impl Place {
    pub(crate) fn new(server: Server) -> Self {
        let random = RandomState::new().build_hasher().finish();
        Self {
            server,
            prefix: format!("test-{random:016x}"),
        }
    }

    /// Settings of somebody in a hurry.
    pub(crate) fn settings(&self) -> BusSettings {
        let mut settings = BusSettings::default();
        settings.prefix.clone_from(&self.prefix);
        settings.ping_interval = Duration::from_millis(500);
        settings
    }

    /// The name of a channel, subject or key.
    pub(crate) fn name(&self, parts: &[&str]) -> String {
        let separator = match self.server {
            Server::Redis => ":",
            Server::Nats => ".",
        };
        let mut all = vec![self.prefix.as_str()];
        all.extend(parts);
        all.join(separator)
    }

    /// Publishes as somebody who knows nothing of Motet.
    pub(crate) async fn publish_raw(&self, parts: &[&str], message: &[u8]) {
        let name = self.name(parts);
        match self.server {
            Server::Redis => {
                let mut connection = raw_redis().await;
                let mut publish = redis::cmd("PUBLISH");
                publish.arg(name).arg(message);
                let _: i64 = publish.query_async(&mut connection).await.unwrap();
            }
            Server::Nats => {
                let client = raw_nats().await;
                let message = Bytes::copy_from_slice(message);
                client.publish(name, message).await.unwrap();
                client.flush().await.unwrap();
            }
        }
    }

    /// Whether somebody listens to it.
    pub(crate) async fn is_heard(&self, parts: &[&str]) -> bool {
        let name = self.name(parts);
        match self.server {
            Server::Redis => {
                let mut connection = raw_redis().await;
                let mut publish = redis::cmd("PUBLISH");
                publish.arg(name).arg("");
                let heard: i64 = publish.query_async(&mut connection).await.unwrap();
                heard > 0
            }
            Server::Nats => {
                let client = raw_nats().await;
                let asking = client.request(name, Bytes::new());
                match timeout(Duration::from_millis(200), asking).await {
                    Ok(Err(error)) => {
                        error.kind() != async_nats::client::RequestErrorKind::NoResponders
                    }
                    _ => true,
                }
            }
        }
    }

    fn keys(&self) -> Vec<String> {
        (EventKind::ALL.iter())
            .map(|kind| format!("{}:events:{}", self.prefix, kind.as_str()))
            .collect()
    }

    /// How many events the stream of this kind holds.
    pub(crate) async fn stored(&self, kind: EventKind) -> u64 {
        match self.server {
            Server::Redis => {
                let mut connection = raw_redis().await;
                let mut count = redis::cmd("XLEN");
                count.arg(self.name(&["events", kind.as_str()]));
                count.query_async(&mut connection).await.unwrap()
            }
            Server::Nats => {
                let context = jetstream::new(raw_nats().await);
                let stream = context.get_stream(format!("{}-events", self.prefix)).await;
                let subject = self.name(&["events", kind.as_str()]);
                let counts = stream.unwrap().info_with_subjects(subject).await.unwrap();
                use futures_util::TryStreamExt;
                let counts: Vec<_> = counts.try_collect().await.unwrap();
                counts.iter().map(|(_, count)| *count as u64).sum()
            }
        }
    }

    /// Takes the streams away.
    pub(crate) async fn forget(&self) {
        match self.server {
            Server::Redis => {
                let mut connection = raw_redis().await;
                let mut delete = redis::cmd("UNLINK");
                delete.arg(self.keys());
                let _: i64 = delete.query_async(&mut connection).await.unwrap();
            }
            Server::Nats => {
                let context = jetstream::new(raw_nats().await);
                // There need not be one.
                let _ = context
                    .delete_stream(format!("{}-events", self.prefix))
                    .await;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let place = Self {
            server: self.server,
            prefix: std::mem::take(&mut self.prefix),
        };
        if place.prefix.is_empty() {
            return;
        }
        // The test's own runtime is busy with this.
        let forgetting = thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime.block_on(place.forget());
            std::mem::forget(place);
        });
        if forgetting.join().is_err() {
            eprintln!("streams of a test are left");
        }
    }
}

pub(crate) async fn raw_redis() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(Server::Redis.url()).unwrap();
    let connection = client.get_multiplexed_async_connection().await;
    connection.expect("the tests need Redis: `make services` starts it")
}

pub(crate) async fn raw_nats() -> async_nats::Client {
    let client = async_nats::connect(Server::Nats.url()).await;
    client.expect("the tests need NATS: `make services` starts it")
}

/// What happens before patience ends.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it does not happen")
}

/// Asks again and again until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    soon(async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

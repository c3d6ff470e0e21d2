//! A node: a process that ends and starts again, and its ways to the services.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use motet_testing::{Proxy, Schema};
use tokio::time::{Instant, sleep};

use super::{services::Services, stage::Stage};
use crate::support::Server;

/// How long a node may take to end when it is asked to.
const ENDING: Duration = Duration::from_secs(45);
/// How long the services may be away for a node that starts.
const STARTING: Duration = Duration::from_secs(90);

pub(super) struct Node {
    pub(super) number: usize,
    server: Option<Server>,
    pub(super) postgres: Arc<Proxy>,
    pub(super) bus: Arc<Proxy>,
    data: PathBuf,
    errors: PathBuf,
    flags: Vec<String>,
}

impl Node {
    pub(super) async fn new(
        number: usize,
        services: &Services,
        schema: &Schema,
        folder: &Path,
    ) -> Self {
        let postgres = Proxy::start(schema.host().to_owned()).await;
        let bus = Proxy::start(services.bus.clone()).await;
        let flags = [
            "--database",
            &schema.url_through(&postgres.address.to_string()),
            "--bus",
            &format!("{}://{}", services.scheme(), bus.address),
            "--bus-prefix",
            schema.name(),
            // Nothing is told to others: streams would be left behind.
            "--events",
            "",
            "--log",
            "warn,motet_server::collab=debug",
        ];
        let mut node = Self {
            number,
            server: None,
            postgres: Arc::new(postgres),
            bus: Arc::new(bus),
            data: folder.to_owned(),
            errors: folder.join(format!("node-{number}.log")),
            flags: flags.map(ToOwned::to_owned).into(),
        };
        node.server = node.try_start().await;
        node
    }

    async fn try_start(&self) -> Option<Server> {
        let (data, errors, flags) = (self.data.clone(), self.errors.clone(), self.flags.clone());
        let starting = tokio::task::spawn_blocking(move || {
            let flags: Vec<_> = flags.iter().map(String::as_str).collect();
            Server::try_start(&data, &flags, &errors)
        });
        starting.await.unwrap()
    }

    /// Starts it as a supervisor does, as often as it takes.
    pub(super) async fn start(&mut self, stage: &Stage) {
        let began = Instant::now();
        while self.server.is_none() {
            if began.elapsed() > STARTING {
                return stage.complain(format!("node {} does not start", self.number));
            }
            self.server = self.try_start().await;
            if self.server.is_none() {
                sleep(Duration::from_millis(200)).await;
            }
        }
        stage.moved(self.number, &self.server().address);
    }

    pub(super) fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
        }
    }

    /// SIGTERM, and waits for the end.
    pub(super) async fn roll(&mut self, stage: &Stage) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        server.drain();
        let began = Instant::now();
        while began.elapsed() < ENDING {
            if let Some(status) = server.ended() {
                if !status.success() {
                    stage.complain(format!("node {} ended with {status}", self.number));
                }
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        stage.complain(format!("node {} does not end", self.number));
        // So that the reason can be seen.
        server.signal("-ABRT");
    }

    /// It runs, if it was not ended.
    pub(super) fn check(&mut self, stage: &Stage) {
        if let Some(status) = self.server.as_mut().and_then(Server::ended) {
            stage.complain(format!("node {} has ended with {status}", self.number));
            self.server = None;
        }
    }

    /// What it has complained of.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }
}

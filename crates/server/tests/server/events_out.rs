//! What is told to other programs, over Redis and over NATS.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, Hasher, RandomState},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use motet_bus::{
    AnyConsumer, AnyEvents, BusError, Consumer, Event, EventKind, Events, EventsSettings,
};
use motet_log::{Outbox, PostgresLog, PostgresSettings};
use motet_testing::{Fault, Proxy, Schema};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{Account, Client, PATIENCE, Peer, Server, data_dir};

/// As long as it takes others to notice that a worker is gone, and more.
const TAKEOVER: Duration = Duration::from_secs(40);

/// Names of its own on a server. Streams under them go with it.
struct Place {
    scheme: &'static str,
    address: String,
    prefix: String,
}

impl Place {
    fn new(scheme: &'static str, variable: &str, usual: &str) -> Self {
        let address = std::env::var(variable).unwrap_or_else(|_| usual.to_owned());
        let address = address
            .split_once("://")
            .map_or(address.as_str(), |it| it.1);
        Self {
            scheme,
            address: address.to_owned(),
            prefix: format!("test-{:016x}", RandomState::new().build_hasher().finish()),
        }
    }

    fn redis() -> Self {
        Self::new("redis", "MOTET_TEST_REDIS", "127.0.0.1:6379")
    }

    fn nats() -> Self {
        Self::new("nats", "MOTET_TEST_NATS", "127.0.0.1:4222")
    }

    /// Flags of a node that reaches it at this address.
    fn flags_at(&self, schema: &Schema, address: &str) -> Vec<String> {
        let bus = format!("{}://{address}", self.scheme);
        let flags = [
            "--database",
            &schema.url(),
            "--bus",
            &bus,
            "--bus-prefix",
            &self.prefix,
        ];
        flags.map(ToOwned::to_owned).to_vec()
    }

    fn flags(&self, schema: &Schema) -> Vec<String> {
        self.flags_at(schema, &self.address)
    }

    fn node(&self, data: &Path, schema: &Schema, more: &[&str]) -> Server {
        let flags = self.flags(schema);
        let flags = flags.iter().map(String::as_str).chain(more.iter().copied());
        Server::start(data, &flags.collect::<Vec<_>>())
    }

    async fn read(&self, kinds: &[EventKind]) -> Reader {
        let mut settings = EventsSettings::default();
        settings.bus.prefix.clone_from(&self.prefix);
        let url = format!("{}://{}", self.scheme, self.address);
        let events = AnyEvents::connect(&url, settings).await.unwrap();
        let consuming = async {
            loop {
                match events.consume(kinds, "test").await {
                    Err(BusError::Unavailable { .. }) => tokio::task::yield_now().await,
                    consumer => return consumer.unwrap(),
                }
            }
        };
        Reader {
            consumer: timeout(PATIENCE, consuming).await.unwrap(),
            seen: BTreeSet::new(),
            heads: BTreeMap::new(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let prefix = &self.prefix;
        let (say, last) = match self.scheme {
            "redis" => {
                let keys = EventKind::ALL.map(|kind| format!("{prefix}:events:{}", kind.as_str()));
                (format!("UNLINK {}\r\nQUIT\r\n", keys.join(" ")), "+OK")
            }
            _ => {
                let subject = format!("$JS.API.STREAM.DELETE.{prefix}-events");
                let delete = format!("SUB {prefix}.x 1\r\nPUB {subject} {prefix}.x 0\r\n\r\n");
                (format!("CONNECT {{}}\r\n{delete}"), "MSG")
            }
        };
        let forgotten = || -> std::io::Result<()> {
            let mut socket = TcpStream::connect(&self.address)?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.write_all(say.as_bytes())?;
            let (mut heard, mut bytes) = (String::new(), [0; 4_096]);
            while !heard.contains(last) {
                let count = socket.read(&mut bytes)?;
                if count == 0 {
                    break;
                }
                heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            Ok(())
        };
        if let Err(error) = forgotten() {
            eprintln!("streams of a test are left: {error}");
        }
    }
}

/// Somebody who follows the rules for readers: repeats are passed over.
struct Reader {
    consumer: AnyConsumer,
    seen: BTreeSet<String>,
    /// How far each document was told.
    heads: BTreeMap<String, u64>,
}

impl Reader {
    /// The next event; whether it came for the first time.
    async fn next(&mut self) -> (Event, Value, bool) {
        let delivered = timeout(TAKEOVER, self.consumer.next()).await;
        let delivered = delivered.expect("no more is told").unwrap();
        self.consumer.ack(&delivered).await.unwrap();
        let event = delivered.event;
        let said: Value = serde_json::from_slice(&event.payload).unwrap();
        let is_new = self.seen.insert(event.id.clone());
        if is_new && event.kind == EventKind::DocumentEdit {
            let document = said["documentId"].as_str().unwrap();
            let revision = said["revision"].as_u64().unwrap();
            assert_eq!(event.id, format!("edit/{document}/{revision}"));
            assert_eq!(event.key.unwrap().to_string(), document);
            let head = self.heads.entry(document.to_owned()).or_default();
            assert_eq!(revision, *head + 1, "in turn");
            *head = revision;
        }
        (event, said, is_new)
    }

    /// Reads until the document has been told so far; how often something came again.
    async fn until(&mut self, document: &str, revision: u64) -> usize {
        let mut repeats = 0;
        while self.heads.get(document).copied().unwrap_or_default() < revision {
            let (_, _, is_new) = self.next().await;
            repeats += usize::from(!is_new);
        }
        repeats
    }
}

/// One edit after the other, until the document is at `head`.
async fn write(client: &mut Client, revision: &mut u64, head: u64) {
    while *revision < head {
        let text = json!([{ "insert": "x" }]);
        client.submit(*revision + 1, *revision, text).await;
        *revision = client.expect("ack").await["revision"].as_u64().unwrap();
    }
}

async fn begin(node: &Server) -> (Account, String, Client) {
    let ada = node.register("ada");
    let document = node.create(&ada);
    let (client, _) = node.join(&ada, &document, "ada").await;
    (ada, document, client)
}

/// Runs each test on each server.
macro_rules! on_each_server {
    ($($test:ident),* $(,)?) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
                super::$test(super::Place::redis()).await;
            })*
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
                super::$test(super::Place::nats()).await;
            })*
        }
    };
}

on_each_server!(
    everything_is_told_once,
    a_stream_that_is_away_loses_nothing,
    two_workers_tell_in_turn,
    another_worker_goes_on,
    whoever_follows_goes_on_where_they_stopped,
    only_what_is_asked_for_is_told,
);

async fn everything_is_told_once(place: Place) {
    /// As many as are worth a checkpoint when nobody is left.
    const EDITS: u64 = 100;
    let (data, schema) = (data_dir(), Schema::new().await);
    let mut node = place.node(data.path(), &schema, &[]);
    let (ada, document, mut client) = begin(&node).await;
    let ben = node.register("ben");
    node.grant(&ada, &document, "ben", "editor");
    let mut revision = 0;
    write(&mut client, &mut revision, EDITS).await;
    // It leaves a checkpoint, and what it does not tell any more the next one tells.
    node.terminate();
    let node = place.node(data.path(), &schema, &[]);

    let mut reader = place.read(&EventKind::ALL).await;
    let mut told: BTreeMap<&str, Vec<(String, Value)>> = BTreeMap::new();
    let mut closed = false;
    while reader.heads.get(&document) != Some(&EDITS)
        || !closed
        || !told.contains_key("document.version")
        || !told.contains_key("notification.event")
    {
        let (event, said, is_new) = reader.next().await;
        assert!(is_new, "{} comes again", event.id);
        assert!(event.at_ms > 1_600_000_000_000);
        closed |= said["action"] == "document.closed";
        let kind = told.entry(event.kind.as_str()).or_default();
        kind.push((event.id, said));
    }
    let edit = &told["document.edit"][0].1;
    assert_eq!(edit["userId"], ada.id.as_str());
    assert_eq!(edit["operation"], json!({ "ops": [{ "insert": "x" }] }));
    assert!(edit["at"].as_str().unwrap().ends_with('Z'));

    let (id, version) = &told["document.version"][0];
    assert_eq!(*id, format!("version/{document}/{EDITS}"));
    assert_eq!(
        (&version["revision"], &version["reason"]),
        (&json!(EDITS), &json!("checkpoint"))
    );

    let rows = &told["audit.log"];
    for (n, (id, row)) in rows.iter().enumerate() {
        assert_eq!(*id, format!("audit/{}", n + 1));
        assert_eq!(row["seq"], n + 1);
        assert_eq!(row["hash"].as_str().unwrap().len(), 64);
    }
    let shared = rows.iter().find(|row| row.1["action"] == "document.shared");
    let (_, shared) = shared.unwrap();
    let shares = &told["notification.event"];
    assert_eq!(shares.len(), 1);
    assert_eq!(shares[0].0, format!("share/{}", shared["seq"]));
    let share = &shares[0].1;
    assert_eq!(share["type"], "share");
    assert_eq!(share["userId"], ben.id.as_str());
    assert_eq!(share["actorId"], ada.id.as_str());
    assert_eq!(share["role"], "editor");
    assert_eq!(share["documentId"], document.as_str());
    drop(node);
}

async fn a_stream_that_is_away_loses_nothing(place: Place) {
    let (data, schema) = (data_dir(), Schema::new().await);
    let proxy = Arc::new(Proxy::start(place.address.clone()).await);
    proxy.next(Fault::Refuse);
    let flags = place.flags_at(&schema, &proxy.address.to_string());
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let node = Server::start(data.path(), &flags);
    let (_, document, mut client) = begin(&node).await;
    let mut revision = 0;
    write(&mut client, &mut revision, 5).await;
    let mut reader = place.read(&[EventKind::DocumentEdit]).await;
    // What could not be told is kept.
    let url = schema.url();
    let log = PostgresLog::open(&url, PostgresSettings::default()).await;
    assert_eq!(log.unwrap().waiting().await.unwrap().len(), 1);
    proxy.next(Fault::None);
    reader.until(&document, 5).await;

    // No answer gets through, and every connection breaks that waits for one.
    let breaking = Arc::clone(&proxy);
    let broken = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&broken);
    let away = tokio::spawn(async move {
        loop {
            breaking.next(Fault::LoseAnswerAndRefuse);
            count.fetch_add(1, SeqCst);
            while !breaking.happened(Fault::LoseAnswerAndRefuse) {
                sleep(Duration::from_millis(1)).await;
            }
        }
    });
    write(&mut client, &mut revision, 10).await;
    let before = broken.load(SeqCst);
    let breaks = async {
        while broken.load(SeqCst) < before + 5 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, breaks).await.unwrap();
    write(&mut client, &mut revision, 15).await;
    away.abort();
    // It ends before the next fault is set.
    assert!(away.await.unwrap_err().is_cancelled());
    proxy.next(Fault::None);
    reader.until(&document, 15).await;
}

async fn two_workers_tell_in_turn(place: Place) {
    const EDITS: u64 = 60;
    let (data, schema) = (data_dir(), Schema::new().await);
    let nodes = [(); 2].map(|()| place.node(data.path(), &schema, &[]));
    let mut reader = place.read(&[EventKind::DocumentEdit]).await;
    let ada = nodes[0].register("ada");
    let documents = [(); 4].map(|()| nodes[0].create(&ada));
    let mut writers = Vec::new();
    for (n, document) in documents.iter().enumerate() {
        let (mut client, _) = nodes[n % 2].join(&ada, document, "writer").await;
        writers.push(tokio::spawn(async move {
            write(&mut client, &mut 0, EDITS).await;
        }));
    }
    let mut repeats = 0;
    for document in &documents {
        repeats += reader.until(document, EDITS).await;
    }
    assert_eq!(repeats, 0);
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn another_worker_goes_on(place: Place) {
    let (data, schema) = (data_dir(), Schema::new().await);
    let others = place.node(data.path(), &schema, &["--roles", "gateway,api"]);
    let mut first = place.node(data.path(), &schema, &["--roles", "worker"]);
    let (_, document, mut client) = begin(&others).await;
    let mut reader = place.read(&[EventKind::DocumentEdit]).await;
    let mut revision = 0;
    write(&mut client, &mut revision, 5).await;
    reader.until(&document, 5).await;
    let _second = place.node(data.path(), &schema, &["--roles", "worker"]);
    let writing = tokio::spawn(async move {
        write(&mut client, &mut revision, 200).await;
        client
    });
    // In the middle of it.
    reader.until(&document, 20).await;
    first.kill();
    let _client = writing.await.unwrap();
    reader.until(&document, 200).await;
}

/// `motet events follow`, which is killed in the end.
struct Follower {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(place: &Place, schema: &Schema) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_motet"))
            .args([
                "events",
                "follow",
                "--group",
                "tests",
                "--kind",
                "document.edit",
            ])
            .args(place.flags(schema))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The revision in the next line.
    fn next(&mut self) -> u64 {
        let line: Value = serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["kind"], "document.edit");
        let event = &line["event"];
        let id = format!(
            "edit/{}/{}",
            event["documentId"].as_str().unwrap(),
            event["revision"]
        );
        assert_eq!(line["id"], id);
        event["revision"].as_u64().unwrap()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn whoever_follows_goes_on_where_they_stopped(place: Place) {
    let (data, schema) = (data_dir(), Schema::new().await);
    let node = place.node(data.path(), &schema, &[]);
    let (_, _, mut client) = begin(&node).await;
    let mut revision = 0;
    write(&mut client, &mut revision, 4).await;
    let mut follower = Follower::start(&place, &schema);
    let printed = [(); 4].map(|()| follower.next());
    assert_eq!(printed, [1, 2, 3, 4]);
    // When the next is printed, all before it are acknowledged.
    write(&mut client, &mut revision, 5).await;
    assert_eq!(follower.next(), 5);
    drop(follower);

    write(&mut client, &mut revision, 7).await;
    let mut follower = Follower::start(&place, &schema);
    let next = follower.next();
    assert!([5, 6].contains(&next), "{next}");
    if next == 5 {
        assert_eq!(follower.next(), 6);
    }
    assert_eq!(follower.next(), 7);
}

async fn only_what_is_asked_for_is_told(place: Place) {
    let (data, schema) = (data_dir(), Schema::new().await);
    let node = place.node(data.path(), &schema, &["--events", "notification.event"]);
    let (ada, document, mut client) = begin(&node).await;
    let ben = node.register("ben");
    write(&mut client, &mut 0, 3).await;
    node.grant(&ada, &document, "ben", "viewer");
    let mut reader = place.read(&EventKind::ALL).await;
    let (event, said, _) = reader.next().await;
    assert_eq!(event.kind, EventKind::NotificationEvent);
    assert_eq!(said["userId"], ben.id.as_str());
    let url = schema.url();
    let log = PostgresLog::open(&url, PostgresSettings::default()).await;
    assert_eq!(log.unwrap().waiting().await.unwrap(), [0_u8; 0]);
}

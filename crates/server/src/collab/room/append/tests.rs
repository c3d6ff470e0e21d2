//! Rooms on a log that others append to, and that fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use motet_bus::{Bus, LocalBus, LocalHub, Topic};
use motet_catalog::Catalog;
use motet_crdt::{Options, Replica, StateVector, Version};
use motet_document::{Access, Command, Document, Event, Member, Settings, Start, Submission};
use motet_log::{DocumentLog, LogError, MemoryLog};
use motet_model::{Change, Checkpoint, ClientId, DocumentId, NodeId, Revision, SessionId, UserId};
use motet_protocol::ErrorCode;
use tokio::{
    sync::{Notify, Semaphore, oneshot},
    time::{Instant, timeout},
};

use crate::{
    clock::SystemClock,
    collab::{
        hints::Hint,
        outbox::{End, Feed, Outbox},
        registry::{Registry, RoomSender},
        room::{Request, Shared},
        verdicts::Verdict,
    },
};

const ID: DocumentId = DocumentId::from_bytes([7; 16]);

/// What happens to an append.
#[derive(Clone, Debug)]
enum Fault {
    /// Nothing is written, and the node is told so.
    Unavailable,
    /// It is written, and the node is not told.
    Written,
    /// It is not written, and the node is not told.
    Lost,
    /// The same, but it arrives when the node has looked.
    Late,
    /// Somebody else is first.
    Race,
    /// Nothing is heard of it any more.
    Hanging,
}

/// An append that arrives later.
type Late = (Revision, Vec<Change>);

/// A log that others append to, with faults.
#[derive(Clone, Default)]
struct Troubled {
    log: MemoryLog,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    /// Once the others have happened, this one does, for ever.
    last: Option<Fault>,
    late: Arc<Mutex<Option<Late>>>,
    appends: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
}

impl Troubled {
    fn new(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            faults: Arc::new(Mutex::new(faults.into_iter().collect())),
            ..Self::default()
        }
    }

    async fn changes(&self) -> Vec<Change> {
        self.log.read(ID, Revision::ZERO, usize::MAX).await.unwrap()
    }

    /// Waits until so many appends were tried.
    async fn until_tried(&self, count: usize) {
        while self.appends.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// Somebody inserts `x` at the start.
    async fn race(&self) {
        let mut document = Document::open(ID, None, Settings::default()).unwrap();
        document.replay(self.changes().await).unwrap();
        let (user, id) = ([9; 16], SessionId::from_bytes([9; 16]));
        let commands = [
            join_command(id, UserId::from_bytes(user), Start::Text),
            submit(id, document.head().get() + 1, document.head(), "x"),
        ];
        let (_events, plan) = document.plan(0, commands);
        self.log
            .append(ID, plan.base(), plan.changes())
            .await
            .unwrap();
    }
}

fn unknown() -> LogError {
    LogError::Unknown {
        detail: "as the test wants it".to_owned(),
    }
}

impl DocumentLog for Troubled {
    async fn append(
        &self,
        id: DocumentId,
        base: Revision,
        changes: Vec<Change>,
    ) -> Result<Revision, LogError> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        let fault = self.faults.lock().unwrap().pop_front();
        match fault.or_else(|| self.last.clone()) {
            None => self.log.append(id, base, changes).await,
            Some(Fault::Unavailable) => Err(LogError::Unavailable {
                detail: "as the test wants it".to_owned(),
            }),
            Some(Fault::Written) => {
                self.log.append(id, base, changes).await?;
                Err(unknown())
            }
            Some(Fault::Lost) => Err(unknown()),
            Some(Fault::Late) => {
                *self.late.lock().unwrap() = Some((base, changes));
                Err(unknown())
            }
            Some(Fault::Race) => {
                self.race().await;
                self.log.append(id, base, changes).await
            }
            Some(Fault::Hanging) => std::future::pending().await,
        }
    }

    async fn head(&self, id: DocumentId) -> Result<Revision, LogError> {
        self.log.head(id).await
    }

    async fn read(
        &self,
        id: DocumentId,
        after: Revision,
        _: usize,
    ) -> Result<Vec<Change>, LogError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        // One by one, so that nobody may count on all of them.
        let read = self.log.read(id, after, 1).await;
        let late = self.late.lock().unwrap().take();
        if let Some((base, changes)) = late {
            let _late = self.log.append(id, base, changes).await;
        }
        read
    }

    async fn checkpoint(
        &self,
        id: DocumentId,
        at_most: Revision,
    ) -> Result<Option<Checkpoint>, LogError> {
        self.log.checkpoint(id, at_most).await
    }

    async fn put_checkpoint(&self, id: DocumentId, checkpoint: Checkpoint) -> Result<(), LogError> {
        self.log.put_checkpoint(id, checkpoint).await
    }

    async fn delete(&self, id: DocumentId) -> Result<(), LogError> {
        self.log.delete(id).await
    }
}

fn join_command(session: SessionId, user: UserId, start: Start) -> Command {
    Command::Join {
        session,
        member: Member {
            user,
            name: "Ada".into(),
            color: None,
            access: Access::Write,
        },
        client_id: ClientId::from(session),
        start,
    }
}

/// Inserts a text at the start.
fn submit(session: SessionId, seq: u64, base: Revision, text: &str) -> Command {
    let delta = format!(r#"{{"ops":[{{"insert":"{text}"}}]}}"#);
    let decoded = motet_ot::decode(delta.as_bytes()).unwrap();
    Command::Submit {
        session,
        submission: Submission::new(base, seq, decoded),
    }
}

/// A node with a room for the document.
struct Node {
    _dir: tempfile::TempDir,
    room: RoomSender,
    /// The bus as another node has it.
    other: LocalBus,
}

/// A session, and what it was told.
struct Guest {
    id: SessionId,
    room: RoomSender,
    outbox: Arc<Outbox>,
    wake: Arc<Notify>,
    /// The revisions of the changes that it was sent.
    sent: Vec<u64>,
    /// Those of them that it made.
    own: Vec<u64>,
    stored: usize,
    /// What it has, if it speaks identities.
    replica: Replica,
}

impl Node {
    async fn new(log: Troubled) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("catalog.db");
        let catalog = Catalog::open_sqlite(&file);
        let hub = LocalHub::default();
        let registry = Registry::new(Shared {
            log,
            catalog: catalog.await.unwrap(),
            clock: Arc::new(SystemClock),
            bus: Arc::new(hub.join(NodeId::from_bytes([1; 16])).into()),
            settings: Settings {
                shared: true,
                ..Settings::default()
            },
            tally: Arc::default(),
            reconciling: Arc::new(Semaphore::new(1)),
            indexing: Arc::new(Semaphore::new(1)),
        });
        let room = registry.open(ID).unwrap();
        let other = hub.join(NodeId::from_bytes([2; 16]));
        Self {
            _dir: dir,
            room,
            other,
        }
    }

    async fn join(&self, n: u8, start: Start) -> Guest {
        let (id, wake) = (SessionId::from_bytes([n; 16]), Arc::new(Notify::new()));
        let outbox = Arc::new(Outbox::new(Arc::clone(&wake)));
        let command = join_command(id, UserId::from_bytes([n; 16]), start);
        let feed = Feed::new(Arc::clone(&outbox), None);
        self.room
            .send(Request::Join(command, id, feed))
            .await
            .unwrap();
        Guest {
            id,
            room: self.room.clone(),
            outbox,
            wake,
            sent: Vec::new(),
            own: Vec::new(),
            stored: 0,
            replica: Replica::new(Options::default()),
        }
    }

    fn look(&self) {
        self.room.signals.look();
    }

    /// Others say that they have appended the changes up to `through` after `base`.
    async fn hear(&self, log: &Troubled, base: u64, through: u64) {
        let changes = log.changes().await.into_iter();
        let said = usize::try_from(through - base).unwrap();
        let changes = changes.skip(usize::try_from(base).unwrap()).take(said);
        self.say(&Hint::Changes(Revision::new(base), changes.collect()));
    }

    /// Another node says this.
    fn say(&self, hint: &Hint) {
        let said = self.other.publish(Topic::Document(ID), hint.encode(ID));
        said.unwrap();
    }

    async fn text(&self) -> (Revision, String) {
        let (tell, told) = oneshot::channel();
        self.room.send(Request::Snapshot(tell)).await.unwrap();
        let snapshot = told.await.unwrap();
        let text = snapshot.content.to_delta().to_json();
        (snapshot.revision, text)
    }
}

impl Guest {
    async fn tell(&self, command: Command) {
        self.room.send(Request::Command(command)).await.unwrap();
    }

    async fn submit(&self, seq: u64, text: &str) {
        let base = Revision::new(self.sent.last().copied().unwrap_or(0));
        self.tell(submit(self.id, seq, base, text)).await;
    }

    /// Inserts a text at the start, by identities.
    async fn update(&mut self, text: &str) {
        let delta = motet_ot::Delta::new().insert(text);
        let client = u64::from(self.id.to_bytes()[0]);
        let update = self.replica.apply_delta("content", &delta, client);
        self.tell(Command::Update {
            session: self.id,
            update: update.unwrap().into(),
        })
        .await;
    }

    /// Takes what has come. Returns whether the session is over, and how.
    fn take(&mut self) -> Option<End> {
        let taken = self.outbox.take();
        for event in taken.events {
            match event {
                Event::Changes { changes, .. } => {
                    for entry in changes.iter() {
                        let next = self
                            .sent
                            .last()
                            .is_none_or(|it| entry.revision.get() == it + 1);
                        assert!(next, "**in order**, without a gap, once");
                        self.sent.push(entry.revision.get());
                        let change = &entry.change;
                        if change.client_id == ClientId::from(self.id) && change.seq > 0 {
                            self.own.push(entry.revision.get());
                        }
                        let update = &entry.change.update;
                        self.replica.apply_update(update, Version::V1).unwrap();
                    }
                }
                Event::UpdateStored => self.stored += 1,
                Event::Missing { update, .. } => {
                    self.replica.apply_update(&update, Version::V1).unwrap();
                }
                Event::Rejected { reject, .. } => panic!("{reject}"),
                _ => {}
            }
        }
        taken.end
    }

    /// Waits until so much is so.
    async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                assert_eq!(self.take(), None);
                if is_so(self) {
                    return;
                }
                self.wake.notified().await;
            }
        };
        timeout(Duration::from_secs(300), waiting).await.unwrap();
    }
}

/// One edit in each dialect, with these faults, on a clock of their own.
fn survives(faults: Vec<Fault>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(edits_survive(faults));
}

async fn edits_survive(faults: Vec<Fault>) {
    let races = faults.iter().filter(|it| matches!(it, Fault::Race)).count();
    let log = Troubled::new(faults);
    let node = Node::new(log.clone()).await;
    tokio::time::pause();
    let mut thin = node.join(1, Start::Text).await;
    let mut thick = node.join(2, Start::Identities).await;
    thin.submit(1, "a").await;
    thin.until(|it| it.own.len() == 1).await;
    thick.until(|it| !it.sent.is_empty()).await;
    thick.update("b").await;
    thick.until(|it| it.stored == 1).await;
    let changes = log.changes().await;
    assert_eq!(
        changes.len(),
        2 + races,
        "nothing is lost, and nothing doubled"
    );
    assert!(log.faults.lock().unwrap().is_empty());
    thin.until(|it| it.sent.len() == 2 + races).await;
    thick.until(|it| it.sent.len() == 2 + races).await;
    let mut replica = Replica::new(Options::default());
    for change in &changes {
        replica.apply_update(&change.update, Version::V1).unwrap();
    }
    for client in [&thin, &thick] {
        let all = StateVector::default();
        assert_eq!(client.replica.text("content"), replica.text("content"));
        let here = client.replica.encode_update(&all, Version::V1);
        assert_eq!(here, replica.encode_update(&all, Version::V1));
    }
    assert_eq!(node.text().await.0.get(), changes.len() as u64);
}

#[test]
fn the_loser_of_a_race_follows_and_plans_again() {
    survives(vec![Fault::Race]);
    survives(vec![Fault::Race, Fault::Race, Fault::Race]);
}

#[test]
fn sessions_wait_for_a_log_that_is_not_available() {
    survives(vec![Fault::Unavailable; 6]);
}

#[test]
fn an_append_of_which_it_is_not_known_is_looked_for() {
    survives(vec![Fault::Written]);
    survives(vec![Fault::Lost]);
    survives(vec![Fault::Late]);
    survives(vec![Fault::Lost, Fault::Race, Fault::Written]);
    survives(vec![Fault::Late, Fault::Unavailable, Fault::Late]);
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_durable() {
    let log = Troubled {
        last: Some(Fault::Unavailable),
        ..Troubled::default()
    };
    let node = Node::new(log.clone()).await;
    tokio::time::pause();
    let mut guest = node.join(1, Start::Text).await;
    guest.submit(1, "a").await;
    let start = Instant::now();
    log.until_tried(3).await;
    assert_eq!(guest.take(), None, "it waits");
    assert!(guest.sent.is_empty(), "**visible after durable**");
    node.room.closed().await;
    assert!(start.elapsed() >= super::PATIENCE, "but not for ever");
    assert_eq!(guest.take(), Some(End::Closed(ErrorCode::Unavailable)));
    assert!(log.changes().await.is_empty());
}

#[tokio::test]
async fn one_who_loses_every_race_gives_up() {
    let log = Troubled {
        last: Some(Fault::Race),
        ..Troubled::default()
    };
    let node = Node::new(log.clone()).await;
    tokio::time::pause();
    let mut guest = node.join(1, Start::Text).await;
    guest.submit(1, "a").await;
    node.room.closed().await;
    assert_eq!(guest.take(), Some(End::Closed(ErrorCode::Unavailable)));
    assert_eq!(log.changes().await.len(), 50);
}

#[tokio::test]
async fn a_node_looks_when_it_is_told_to_or_someone_knows_more() {
    let log = Troubled::default();
    let node = Node::new(log.clone()).await;
    let mut first = node.join(1, Start::Text).await;
    assert_eq!(node.text().await.0, Revision::ZERO);
    log.race().await;
    node.look();
    first.until(|it| it.sent == [1]).await;
    log.race().await;
    // It comes from another node, which is a change itself.
    let resumes = Start::Revision {
        revision: Revision::new(2),
        pending: false,
    };
    let mut second = node.join(2, resumes).await;
    second.submit(1, "b").await;
    second.until(|it| it.own == [4]).await;
    first.until(|it| it.sent == [1, 2, 3, 4]).await;
}

/// A node with a session that has been sent nothing, and a log with four changes of others.
async fn four_missed() -> (Troubled, Node, Guest) {
    let log = Troubled::default();
    let node = Node::new(log.clone()).await;
    let guest = node.join(1, Start::Text).await;
    assert_eq!(node.text().await.0, Revision::ZERO);
    for _ in 0..4 {
        log.race().await;
    }
    (log, node, guest)
}

#[tokio::test]
async fn what_others_say_is_followed_without_the_log() {
    let (log, node, mut guest) = four_missed().await;
    let reads = log.reads();
    node.hear(&log, 0, 1).await;
    node.hear(&log, 1, 4).await;
    guest.until(|it| it.sent == [1, 2, 3, 4]).await;
    // Repeated, overlapping, and long known.
    node.hear(&log, 1, 4).await;
    node.hear(&log, 0, 2).await;
    assert_eq!(node.text().await.0.get(), 4);
    assert_eq!(log.reads(), reads, "it is not asked");
    log.race().await;
    node.hear(&log, 2, 5).await;
    guest.until(|it| it.sent == [1, 2, 3, 4, 5]).await;
}

#[tokio::test]
async fn what_is_reordered_on_the_way_is_followed_in_order() {
    let (log, node, mut guest) = four_missed().await;
    for (base, through) in [(2, 4), (1, 2), (0, 1)] {
        node.hear(&log, base, through).await;
    }
    guest.until(|it| it.sent == [1, 2, 3, 4]).await;
    assert_eq!(node.text().await.0.get(), 4);
}

#[tokio::test]
async fn what_is_lost_on_the_way_is_read_from_the_log() {
    let (log, node, mut guest) = four_missed().await;
    node.hear(&log, 3, 4).await;
    guest.until(|it| it.sent == [1, 2, 3, 4]).await;
    // Of what nobody has appended nothing comes.
    node.say(&Hint::Changes(Revision::new(9), log.changes().await));
    assert_eq!(node.text().await.0.get(), 4);
    assert_eq!(guest.take(), None);
    assert_eq!(guest.sent, [1, 2, 3, 4]);
}

/// A room whose append fails or hangs, and its session that waits.
async fn waiting(fault: Fault) -> (Troubled, Node, Guest) {
    let log = Troubled {
        last: Some(fault),
        ..Troubled::default()
    };
    let node = Node::new(log.clone()).await;
    tokio::time::pause();
    let guest = node.join(1, Start::Text).await;
    guest.submit(1, "a").await;
    log.until_tried(1).await;
    (log, node, guest)
}

#[tokio::test]
async fn not_held_up() {
    for fault in [Fault::Hanging, Fault::Unavailable, Fault::Lost] {
        let (log, node, mut guest) = waiting(fault).await;
        let start = Instant::now();
        let verdict = Verdict::End(ErrorCode::Forbidden);
        node.room.verdicts.pass(guest.id, verdict);
        while guest.take().is_none() {
            guest.wake.notified().await;
        }
        let end = Some(End::Closed(ErrorCode::Forbidden));
        assert_eq!(guest.take(), end, "who is to go is sent away");
        assert!(start.elapsed() < Duration::from_secs(1));
        // And a room that is to end ends, also when its inbox is full.
        let (done, ended) = oneshot::channel();
        while let Ok(place) = node.room.try_reserve() {
            let session = guest.id;
            place.send(Request::Command(Command::Heard { session }));
        }
        let closing = node.room.clone();
        node.room.signals.end();
        tokio::spawn(async move {
            let close = Request::Close(ErrorCode::Unavailable, done);
            let _ended = closing.send(close).await;
        });
        let _failed = ended.await;
        node.room.closed().await;
        assert!(start.elapsed() < Duration::from_secs(8));
        assert!(log.changes().await.is_empty());
        tokio::time::resume();
    }
}

#[tokio::test]
async fn rights_that_are_lost_while_the_log_is_away_count_for_what_waits() {
    let log = Troubled::new(vec![Fault::Unavailable; 4]);
    let node = Node::new(log.clone()).await;
    tokio::time::pause();
    let guest = node.join(1, Start::Text).await;
    guest.submit(1, "a").await;
    log.until_tried(1).await;
    let verdict = Verdict::Access(Access::Read);
    node.room.verdicts.pass(guest.id, verdict);
    assert_eq!(node.text().await.0, Revision::ZERO);
    let events = guest.outbox.take().events;
    let is_refused = |event: &Event| matches!(event, Event::Rejected { seq: Some(1), .. });
    assert!(events.iter().any(is_refused), "{events:?}");
    assert!(log.changes().await.is_empty());
}

#[tokio::test]
async fn nodes_race_and_none_starves() {
    const EDITS: u64 = 60;
    let log = Troubled::default();
    let nodes = [
        Node::new(log.clone()).await,
        Node::new(log.clone()).await,
        Node::new(log.clone()).await,
    ];
    let mut guests = Vec::new();
    for (n, node) in (1..).zip(&nodes) {
        guests.push(node.join(n, Start::Text).await);
    }
    let edits = guests.into_iter().map(|mut guest| {
        tokio::spawn(async move {
            for seq in 1..=EDITS {
                guest.submit(seq, "a").await;
                guest.until(|it| it.own.len() as u64 == seq).await;
            }
            guest
        })
    });
    let mut guests = Vec::new();
    for edit in edits.collect::<Vec<_>>() {
        guests.push(edit.await.unwrap());
    }
    let changes = log.changes().await;
    assert_eq!(changes.len() as u64, 3 * EDITS);
    let submitted: HashSet<_> = changes.iter().map(|it| (it.author, it.seq)).collect();
    assert_eq!(submitted.len(), changes.len(), "**once**, on all nodes");
    for (node, guest) in nodes.iter().zip(&mut guests) {
        node.look();
        guest.until(|it| it.sent.len() as u64 == 3 * EDITS).await;
        assert_eq!(guest.own.len() as u64, EDITS);
        assert_eq!(node.text().await, nodes[0].text().await);
    }
}

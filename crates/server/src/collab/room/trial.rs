//! What tests of rooms stand on: a log that others append to and that fails, a node, and who is there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use motet_bus::{Bus, LocalBus, LocalHub, Topic};
use motet_catalog::Catalog;
use motet_crdt::{Options, Replica, Version};
use motet_document::{Access, Command, Document, Event, Member, Settings, Start, Submission};
use motet_log::{DocumentLog, LogError, MemoryLog};
use motet_model::{
    Change, Checkpoint, ClientId, Clock, DocumentId, NodeId, Revision, SessionId, UserId,
};
use motet_protocol::ErrorCode;
use tokio::{
    sync::{Notify, Semaphore, oneshot},
    time::{Instant, timeout},
};

use crate::collab::{
    hints::Hint,
    outbox::{End, Feed, Outbox},
    registry::{Registry, RoomSender},
    room::{Request, Shared},
};

pub(super) const ID: DocumentId = DocumentId::from_bytes([7; 16]);

/// What happens to an append.
#[derive(Clone, Debug)]
pub(super) enum Fault {
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
pub(super) type Late = (Revision, Vec<Change>);

/// A log that others append to, with faults.
#[derive(Clone, Default)]
pub(super) struct Troubled {
    pub(super) log: MemoryLog,
    pub(super) faults: Arc<Mutex<VecDeque<Fault>>>,
    /// Once the others have happened, this one does, for ever.
    pub(super) last: Option<Fault>,
    pub(super) late: Arc<Mutex<Option<Late>>>,
    /// About how many bytes are read at once; otherwise changes come one by one, so that nobody may count on
    /// all of them.
    pub(super) read_bytes: usize,
    /// Somebody appends two changes whenever there was nothing to read, so often.
    pub(super) busy: Arc<AtomicUsize>,
    pub(super) appends: Arc<AtomicUsize>,
    pub(super) reads: Arc<AtomicUsize>,
    /// The revisions of the checkpoints that were stored.
    pub(super) checkpoints: Arc<Mutex<Vec<u64>>>,
}

/// Time that goes as the tests' does, which may stand.
pub(super) struct TestClock(Instant);

impl TestClock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

impl Troubled {
    pub(super) fn new(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            faults: Arc::new(Mutex::new(faults.into_iter().collect())),
            ..Self::default()
        }
    }

    pub(super) async fn changes(&self) -> Vec<Change> {
        self.log.read(ID, Revision::ZERO, usize::MAX).await.unwrap()
    }

    /// Waits until so many appends were tried.
    pub(super) async fn until_tried(&self, count: usize) {
        while self.appends.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// Somebody inserts `x` at the start.
    pub(super) async fn race(&self) {
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

pub(super) fn unknown() -> LogError {
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
        let read = self.log.read(id, after, self.read_bytes).await;
        let less = |left: usize| left.checked_sub(1);
        if read.as_ref().is_ok_and(Vec::is_empty)
            && (self.busy)
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
                .is_ok()
        {
            self.race().await;
            self.race().await;
        }
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
        self.checkpoints
            .lock()
            .unwrap()
            .push(checkpoint.revision.get());
        self.log.put_checkpoint(id, checkpoint).await
    }

    async fn delete(&self, id: DocumentId) -> Result<(), LogError> {
        self.log.delete(id).await
    }
}

pub(super) fn join_command(session: SessionId, user: UserId, start: Start) -> Command {
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
pub(super) fn submit(session: SessionId, seq: u64, base: Revision, text: &str) -> Command {
    let delta = format!(r#"{{"ops":[{{"insert":"{text}"}}]}}"#);
    let decoded = motet_ot::decode(delta.as_bytes()).unwrap();
    Command::Submit {
        session,
        submission: Submission::new(base, seq, decoded),
    }
}

/// A node with a room for the document.
pub(super) struct Node {
    _dir: tempfile::TempDir,
    pub(super) registry: Arc<Registry<Troubled>>,
    pub(super) room: RoomSender,
    /// The bus as another node has it.
    pub(super) other: LocalBus,
}

/// A session, and what it was told.
pub(super) struct Guest {
    pub(super) id: SessionId,
    room: RoomSender,
    pub(super) outbox: Arc<Outbox>,
    pub(super) wake: Arc<Notify>,
    /// The revisions of the changes that it was sent.
    pub(super) sent: Vec<u64>,
    /// Those of them that it made.
    pub(super) own: Vec<u64>,
    pub(super) stored: usize,
    /// What it has, if it speaks identities.
    pub(super) replica: Replica,
}

impl Node {
    pub(super) async fn new(log: Troubled) -> Self {
        Self::with(log, Settings::default()).await
    }

    pub(super) async fn with(log: Troubled, settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("catalog.db");
        let catalog = Catalog::open_sqlite(&file);
        let hub = LocalHub::default();
        let registry = Registry::new(Shared {
            log,
            catalog: catalog.await.unwrap(),
            clock: Arc::new(TestClock::new()),
            bus: Arc::new(hub.join(NodeId::from_bytes([1; 16])).into()),
            settings: Settings {
                shared: true,
                ..settings
            },
            tally: Arc::default(),
            load: Arc::default(),
            reconciling: Arc::new(Semaphore::new(1)),
            indexing: Arc::new(Semaphore::new(1)),
        });
        let room = registry.open(ID).unwrap();
        let other = hub.join(NodeId::from_bytes([2; 16]));
        Self {
            _dir: dir,
            registry,
            room,
            other,
        }
    }

    pub(super) async fn join(&self, n: u8, start: Start) -> Guest {
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

    pub(super) fn look(&self) {
        self.room.signals.look();
    }

    /// Others say that they have appended the changes up to `through` after `base`.
    pub(super) async fn hear(&self, log: &Troubled, base: u64, through: u64) {
        let changes = log.changes().await.into_iter();
        let said = usize::try_from(through - base).unwrap();
        let changes = changes.skip(usize::try_from(base).unwrap()).take(said);
        self.say(&Hint::Changes(Revision::new(base), changes.collect()));
    }

    /// Another node says this.
    pub(super) fn say(&self, hint: &Hint) {
        let said = self.other.publish(Topic::Document(ID), hint.encode(ID));
        said.unwrap();
    }

    /// Ends the room, with all who are there.
    pub(super) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        let close = Request::Close(ErrorCode::Unavailable, done);
        self.room.send(close).await.unwrap();
        ended.await.unwrap();
    }

    pub(super) async fn text(&self) -> (Revision, String) {
        self.text_at(Revision::ZERO).await
    }

    /// The same, at this revision at least.
    pub(super) async fn text_at(&self, least: Revision) -> (Revision, String) {
        let (tell, told) = oneshot::channel();
        let snapshot = Request::Snapshot(least, tell);
        self.room.send(snapshot).await.unwrap();
        let snapshot = told.await.unwrap();
        let text = snapshot.content.to_delta().to_json();
        (snapshot.revision, text)
    }
}

impl Guest {
    pub(super) async fn tell(&self, command: Command) {
        self.room.send(Request::Command(command)).await.unwrap();
    }

    pub(super) async fn submit(&self, seq: u64, text: &str) {
        let base = Revision::new(self.sent.last().copied().unwrap_or(0));
        self.tell(submit(self.id, seq, base, text)).await;
    }

    /// Inserts a text at the start, by identities.
    pub(super) async fn update(&mut self, text: &str) {
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
    pub(super) fn take(&mut self) -> Option<End> {
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
    pub(super) async fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
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

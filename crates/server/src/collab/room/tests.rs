#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use motet_bus::LocalBus;
use motet_document::{Access, Member, Start};
use motet_log::MemoryLog;
use motet_model::{Change, Checkpoint, NodeId};
use tokio::sync::Notify;

use super::trial::TestClock;
use super::*;
use crate::collab::outbox::Outbox;

const ID: DocumentId = DocumentId::from_bytes([7; 16]);
const SESSION: SessionId = SessionId::from_bytes([1; 16]);

/// A log with a fault: whoever appends to it panics.
struct Faulty;

impl DocumentLog for Faulty {
    async fn append(
        &self,
        _: DocumentId,
        _: Revision,
        _: Vec<Change>,
    ) -> Result<Revision, LogError> {
        panic!("a fault of the server, as the test wants it")
    }

    async fn head(&self, _: DocumentId) -> Result<Revision, LogError> {
        Ok(Revision::ZERO)
    }

    async fn read(&self, _: DocumentId, _: Revision, _: usize) -> Result<Vec<Change>, LogError> {
        Ok(Vec::new())
    }

    async fn checkpoint(&self, _: DocumentId, _: Revision) -> Result<Option<Checkpoint>, LogError> {
        Ok(None)
    }

    async fn put_checkpoint(&self, _: DocumentId, _: Checkpoint) -> Result<(), LogError> {
        Ok(())
    }

    async fn delete(&self, _: DocumentId) -> Result<(), LogError> {
        Ok(())
    }
}

/// One that stores only what it is let.
struct Gated {
    log: MemoryLog,
    /// Somebody has come to store something.
    arrived: Notify,
    gate: Semaphore,
}

impl Gated {
    fn new() -> Self {
        Self {
            log: MemoryLog::default(),
            arrived: Notify::new(),
            gate: Semaphore::new(0),
        }
    }
}

impl DocumentLog for Gated {
    async fn append(
        &self,
        id: DocumentId,
        base: Revision,
        changes: Vec<Change>,
    ) -> Result<Revision, LogError> {
        self.arrived.notify_one();
        self.gate.acquire().await.unwrap().forget();
        self.log.append(id, base, changes).await
    }

    async fn head(&self, id: DocumentId) -> Result<Revision, LogError> {
        self.log.head(id).await
    }

    async fn read(
        &self,
        id: DocumentId,
        after: Revision,
        size_bytes: usize,
    ) -> Result<Vec<Change>, LogError> {
        self.log.read(id, after, size_bytes).await
    }

    async fn checkpoint(
        &self,
        id: DocumentId,
        at: Revision,
    ) -> Result<Option<Checkpoint>, LogError> {
        self.log.checkpoint(id, at).await
    }

    async fn put_checkpoint(&self, id: DocumentId, it: Checkpoint) -> Result<(), LogError> {
        self.log.put_checkpoint(id, it).await
    }

    async fn delete(&self, id: DocumentId) -> Result<(), LogError> {
        self.log.delete(id).await
    }
}

async fn registry<L: DocumentLog>(log: L) -> (tempfile::TempDir, Arc<Registry<Arc<L>>>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("catalog.db");
    let catalog = Catalog::open_sqlite(&file).await.unwrap();
    let registry = Registry::new(Shared {
        log: Arc::new(log),
        catalog,
        clock: Arc::new(TestClock::new()),
        bus: Arc::new(LocalBus::alone(NodeId::from_bytes([1; 16])).into()),
        settings: Settings::default(),
        tally: Arc::default(),
        load: Arc::default(),
        reconciling: Arc::new(Semaphore::new(1)),
        indexing: Arc::new(Semaphore::new(1)),
    });
    (dir, registry)
}

fn join() -> (Request, Arc<Outbox>) {
    join_as(SESSION)
}

fn join_as(session: SessionId) -> (Request, Arc<Outbox>) {
    let outbox = Arc::new(Outbox::new(Arc::new(Notify::new())));
    let member = Member {
        user: UserId::from_bytes([1; 16]),
        name: "Ada".into(),
        color: None,
        access: Access::Write,
    };
    let command = Command::Join {
        session,
        member,
        client_id: ClientId::from(session),
        start: Start::Text,
    };
    let request = Request::Join(command, session, Feed::new(Arc::clone(&outbox), None));
    (request, outbox)
}

fn submit(seq: u64) -> Request {
    let edit = motet_ot::decode(br#"{"ops":[{"insert":"a"}]}"#).unwrap();
    Request::Command(Command::Submit {
        session: SESSION,
        submission: Submission::new(Revision::ZERO, seq, edit),
    })
}

/// What becomes of an edit that waits for its room when the verdict comes: the last thing that the
/// session is told, and the document's head.
async fn judged(verdict: Verdict) -> (Vec<Event>, Option<End>, u64) {
    let log = Gated::new();
    let (_dir, registry) = registry(log).await;
    let log = Arc::clone(&registry.shared().log);
    let room = registry.open(ID).unwrap();
    let (request, outbox) = join();
    room.send(request).await.unwrap();
    room.send(submit(1)).await.unwrap();
    log.arrived.notified().await;
    room.send(submit(2)).await.unwrap();
    room.verdicts.pass(SESSION, verdict);
    log.gate.add_permits(2);
    let head = asked(&room).await.revision;
    let taken = outbox.take();
    (taken.events.into(), taken.end, head.get())
}

#[tokio::test]
async fn at_once() {
    let (events, end, head) = judged(Verdict::Access(Access::Read)).await;
    let is_refused = |event: &Event| {
        matches!(event, Event::Rejected { seq: Some(2), reject, .. }
            if matches!(reject, motet_document::Reject::ReadOnly))
    };
    assert!(events.iter().any(is_refused), "{events:?}");
    assert_eq!((end, head), (None, 1));
    let (_, end, head) = judged(Verdict::End(ErrorCode::Forbidden)).await;
    assert_eq!((end, head), (Some(End::Closed(ErrorCode::Forbidden)), 1));
    let (_, _, head) = judged(Verdict::Access(Access::Write)).await;
    assert_eq!(head, 2, "nothing has changed");
}

#[tokio::test]
async fn a_verdict_waits_for_its_session() {
    let (_dir, registry) = registry(MemoryLog::default()).await;
    let room = registry.open(ID).unwrap();
    asked(&room).await;
    room.verdicts
        .pass(SESSION, Verdict::End(ErrorCode::Forbidden));
    room.verdicts.pass(SESSION, Verdict::Access(Access::Write));
    asked(&room).await;
    let (request, outbox) = join();
    room.send(request).await.unwrap();
    room.send(submit(1)).await.unwrap();
    assert_eq!(asked(&room).await.revision, Revision::ZERO);
    assert_eq!(outbox.take().end, Some(End::Closed(ErrorCode::Forbidden)));
}

#[tokio::test]
async fn bounded() {
    let (_dir, registry) = registry(MemoryLog::default()).await;
    let room = registry.open(ID).unwrap();
    room.verdicts.pass(SESSION, Verdict::Access(Access::Write));
    let leave = Command::Leave { session: SESSION };
    room.send(Request::Command(leave)).await.unwrap();
    asked(&room).await;
    assert_eq!(room.verdicts.take_one(SESSION), None);
}

#[tokio::test]
async fn a_room_that_panics_makes_place_for_another() {
    let (_dir, registry) = registry(Faulty).await;
    let room = registry.open(ID).unwrap();
    let (request, outbox) = join();
    room.send(request).await.unwrap();
    room.send(submit(1)).await.unwrap();
    room.closed().await;
    let end = End::Closed(ErrorCode::Internal);
    assert_eq!(outbox.take().end, Some(end));
    assert_eq!(
        asked(&registry.open(ID).unwrap()).await.revision,
        Revision::ZERO
    );
}

#[tokio::test]
async fn who_joins_while_the_room_is_closed_is_told() {
    let (_dir, registry) = registry(MemoryLog::default()).await;
    let room = registry.open(ID).unwrap();
    let (done, ended) = oneshot::channel();
    let mut waiting = Vec::new();
    room.send(Request::Close(ErrorCode::NotFound, done))
        .await
        .unwrap();
    while let Ok(permit) = room.try_reserve() {
        let (request, outbox) = join();
        permit.send(request);
        waiting.push(outbox);
    }
    ended.await.unwrap();
    assert!(!waiting.is_empty());
    for outbox in waiting {
        // Those of one client replace one another before the room ends.
        assert!(outbox.take().end.is_some());
    }
}

async fn asked(room: &mpsc::Sender<Request>) -> Snapshot {
    let (tell, told) = oneshot::channel();
    room.send(Request::Snapshot(Revision::ZERO, tell))
        .await
        .unwrap();
    told.await.unwrap()
}

#[tokio::test]
async fn a_document_that_nobody_holds_is_unloaded_and_opened_again() {
    let (_dir, registry) = registry(MemoryLog::default()).await;
    tokio::time::pause();
    let room = registry.open(ID).unwrap();
    asked(&room).await;
    tokio::time::sleep(3 * IDLE).await;
    assert!(registry.get(ID).is_some(), "somebody may still ask it");
    asked(&room).await;

    drop(room);
    tokio::time::sleep(3 * IDLE).await;
    assert!(registry.get(ID).is_none());
    assert_eq!(
        asked(&registry.open(ID).unwrap()).await.revision,
        Revision::ZERO
    );
}

#[tokio::test]
async fn who_moves_is_seen_however_much_there_is_to_do() {
    const SEES: SessionId = SessionId::from_bytes([2; 16]);
    let (_dir, registry) = registry(Gated::new()).await;
    let log = Arc::clone(&registry.shared().log);
    let room = registry.open(ID).unwrap();
    tokio::time::pause();
    let (sees, seen) = join_as(SEES);
    let (moves, _moved) = join();
    for request in [sees, moves] {
        room.send(request).await.unwrap();
    }
    asked(&room).await;
    let move_and_edit = async |seq: u64| {
        let caret = Command::Select {
            session: SESSION,
            selection: Some(motet_document::Selection::caret(0)),
            revision: Revision::ZERO,
        };
        room.send(Request::Command(caret)).await.unwrap();
        room.send(submit(seq)).await.unwrap();
    };
    move_and_edit(1).await;
    for seq in 1..=20 {
        log.arrived.notified().await;
        let events = seen.take().events;
        let is_seen = |event: &Event| matches!(event, Event::Presence(_));
        assert!(seq < 3 || events.iter().any(is_seen), "{seq}: {events:?}");
        // The next is there before this one is through, and that takes long.
        move_and_edit(seq + 1).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        log.gate.add_permits(1);
    }
}

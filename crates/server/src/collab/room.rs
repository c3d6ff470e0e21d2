//! The task of one open document: receive, plan, append, commit, publish.
//!
//! While an append is under way the next batch gathers in the inbox. On an error of the log the
//! state is dropped, not repaired: the sessions are told to come back, and the next open replays
//! the log.

use std::{collections::HashMap, sync::Arc, time::Duration};

use motet_catalog::Catalog;
use motet_document::{CloseReason, Command, Document, Event, OpenError, Settings, Snapshot};
use motet_log::{DocumentLog, LogError};
use motet_model::{Clock, DocumentId, Revision, SessionId, limits};
use motet_protocol::ErrorCode;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    outbox::{End, Feed},
    registry::Registry,
};

/// How long an open document without sessions stays open.
const IDLE: Duration = Duration::from_secs(30);

/// How often at most the catalog is told that a document has changed.
const TOUCH_INTERVAL_MS: u64 = 10_000;

/// A checkpoint is made on unloading when at least this many changes are not in one.
const UNLOAD_CHECKPOINT_CHANGES: u64 = 100;

/// Work that walks over more operations than this, some ms, leaves the async threads.
const STEPS_INLINE_MAX: u64 = 100_000;

/// What others ask of a room.
#[derive(Debug)]
pub(crate) enum Request {
    /// A command of a session.
    Command(Command),
    /// A join, with the queue for what the session will be sent.
    Join(Command, SessionId, Feed),
    /// The state at the head.
    Snapshot(oneshot::Sender<Snapshot>),
    /// End every session with this code, store what there is to store, and end.
    Close(ErrorCode, oneshot::Sender<()>),
}

/// Why a room ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoomError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl RoomError {
    /// What the sessions are told.
    fn code(&self) -> ErrorCode {
        match self {
            Self::Log(LogError::Deleted { .. }) => ErrorCode::NotFound,
            Self::Log(LogError::Corrupt { .. } | LogError::NewerFormat { .. }) | Self::Open(_) => {
                ErrorCode::Internal
            }
            Self::Log(_) => ErrorCode::Unavailable,
        }
    }
}

/// What every room has in common.
#[derive(Clone)]
pub(crate) struct Shared<L> {
    pub(crate) log: L,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
}

/// Why a room ended as it should.
enum Ended {
    /// Nobody was here.
    Idle,
    /// It was asked to, with this code for its sessions; whoever asked waits.
    Asked(ErrorCode, oneshot::Sender<()>),
}

/// Runs the document until it has been idle for a while, is closed, or its log fails. Whoever waits
/// for it then is told: those who are here, and those who still stood in the inbox.
pub(crate) async fn run<L: DocumentLog + Clone>(
    id: DocumentId,
    shared: Shared<L>,
    registry: Arc<Registry<L>>,
    mut inbox: mpsc::Receiver<Request>,
) {
    let mut feeds = HashMap::new();
    let result = match open(id, &shared).await {
        Ok((document, checkpoint)) => {
            let mut room = Room {
                document,
                shared: &shared,
                feeds: &mut feeds,
                checkpoint,
                untouched_since_ms: None,
                touched_ms: 0,
            };
            room.run(&registry, &mut inbox).await
        }
        Err(error) => Err(error),
    };
    let (code, asked) = match result {
        Ok(Ended::Idle) => (ErrorCode::Unavailable, None),
        Ok(Ended::Asked(code, asked)) => (code, Some(asked)),
        Err(error) => {
            tracing::error!(document = %id, %error, "the document was closed: its log failed");
            (error.code(), None)
        }
    };
    inbox.close();
    registry.remove_closed(id);
    for feed in feeds.values() {
        feed.end(End::Closed(code));
    }
    while let Some(request) = inbox.recv().await {
        if let Request::Join(_, _, feed) = request {
            feed.end(End::Closed(code));
        }
    }
    if let Some(asked) = asked {
        // The one who asked may have gone; then nobody waits.
        let _gone = asked.send(());
    }
}

/// The document from its latest checkpoint and the log after it; and the checkpoint's revision.
async fn open<L: DocumentLog>(
    id: DocumentId,
    shared: &Shared<L>,
) -> Result<(Document, Revision), RoomError> {
    let checkpoint = shared
        .log
        .checkpoint(id, Revision::new(u64::MAX >> 1))
        .await?;
    let mut document = Document::open(id, checkpoint.as_ref(), shared.settings.clone())?;
    loop {
        let changes = shared
            .log
            .read(id, document.head(), limits::WINDOW_BYTES_MAX)
            .await?;
        if changes.is_empty() {
            return Ok((
                document,
                checkpoint.map_or(Revision::ZERO, |it| it.revision),
            ));
        }
        document.replay(changes)?;
    }
}

struct Room<'a, L> {
    document: Document,
    shared: &'a Shared<L>,
    feeds: &'a mut HashMap<SessionId, Feed>,
    /// The latest revision that a checkpoint holds or is being made of.
    checkpoint: Revision,
    /// The catalog's time of the last change is older than it should be since then.
    untouched_since_ms: Option<u64>,
    touched_ms: u64,
}

impl<L: DocumentLog + Clone> Room<'_, L> {
    async fn run(
        &mut self,
        registry: &Registry<L>,
        inbox: &mut mpsc::Receiver<Request>,
    ) -> Result<Ended, RoomError> {
        let mut batch = Vec::with_capacity(limits::BATCH_COMMANDS_MAX);
        loop {
            let deadline = self.deadline();
            tokio::select! {
                count = inbox.recv_many(&mut batch, limits::BATCH_COMMANDS_MAX) => {
                    let ended = if count == 0 {
                        Some(Ended::Idle)
                    } else {
                        self.take(&mut batch).await?
                    };
                    if let Some(ended) = ended {
                        inbox.close();
                        self.unload().await;
                        return Ok(ended);
                    }
                }
                () = sleep_until(deadline) => {
                    let now_ms = self.shared.clock.now_ms();
                    let events = self.document.tick(now_ms);
                    self.deliver(events);
                    if self.document.sessions() == 0
                        && registry.remove_idle(self.document.id(), inbox)
                    {
                        self.unload().await;
                        return Ok(Ended::Idle);
                    }
                }
            }
        }
    }

    /// When there is something to do even if nobody asks.
    fn deadline(&self) -> Instant {
        let after = self.document.tick_due_ms().map_or(IDLE, |due_ms| {
            Duration::from_millis(due_ms.saturating_sub(self.shared.clock.now_ms()))
        });
        Instant::now() + after
    }

    /// One round. Returns why the room is to end, if it is.
    async fn take(&mut self, batch: &mut Vec<Request>) -> Result<Option<Ended>, RoomError> {
        let mut commands = Vec::with_capacity(batch.len());
        let mut snapshots = Vec::new();
        let mut ended = None;
        let mut steps = 0_u64;
        let mut leaving = Vec::new();
        for request in batch.drain(..) {
            match request {
                Request::Command(mut command) => {
                    if self.follows_a_join(&command)
                        || is_leave_of_author(&command, &commands)
                        || steps > limits::TRANSFORM_STEPS_MAX
                    {
                        // The last, so that nobody waits for all of many costly edits at once.
                        self.commit(std::mem::take(&mut commands)).await?;
                        steps = 0;
                    }
                    self.prepare(&mut command).await?;
                    steps = steps.saturating_add(self.steps(&command));
                    if let Command::Leave { session } = &command {
                        leaving.push(*session);
                    }
                    commands.push(command);
                }
                Request::Join(command, session, feed) => {
                    self.feeds.insert(session, feed);
                    commands.push(command);
                }
                Request::Snapshot(reply) => snapshots.push(reply),
                Request::Close(code, done) => ended = Some(Ended::Asked(code, done)),
            }
        }
        self.commit(commands).await?;
        for session in leaving {
            if let Some(feed) = self.feeds.remove(&session) {
                feed.end(End::Left);
            }
        }
        for reply in snapshots {
            // The one who asked may have gone.
            let _gone = reply.send(self.document.snapshot());
        }
        Ok(ended)
    }

    /// A submission from before the window is advanced as its session's, and the session of a join
    /// in the same batch is known only once that is planned.
    fn follows_a_join(&self, command: &Command) -> bool {
        matches!(command, Command::Submit { session, submission }
            if submission.base() < self.document.window_start()
                && !self.document.has_session(*session))
    }

    /// What a command needs before it can be planned.
    async fn prepare(&mut self, command: &mut Command) -> Result<(), RoomError> {
        match command {
            Command::Submit {
                session,
                submission,
            } => {
                while let Some((author, client_id)) =
                    self.document.must_advance(*session, submission)
                {
                    let changes = self
                        .shared
                        .log
                        .read(
                            self.document.id(),
                            submission.base(),
                            limits::CATCH_UP_BYTES_MAX,
                        )
                        .await?;
                    let through = submission.base().plus(changes.len() as u64);
                    // To decode a byte costs about as much as to pass an operation.
                    let decoded = changes.iter().map(|change| change.delta.len() as u64);
                    let steps = submission.steps_to(through).saturating_add(decoded.sum());
                    off_async_threads(steps, || submission.advance(author, &client_id, &changes))?;
                }
            }
            Command::CatchUp { session, .. } => {
                if let Some(feed) = self.feeds.get(session) {
                    feed.resume();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// **durable before visible**: plan, append, and only then commit and publish.
    async fn commit(&mut self, commands: Vec<Command>) -> Result<(), RoomError> {
        let now_ms = self.shared.clock.now_ms();
        let steps = commands.iter().map(|command| self.steps(command));
        let steps = steps.fold(0, u64::saturating_add);
        let plan = off_async_threads(steps, || self.document.plan(now_ms, commands));
        let changes = plan.changes();
        let head = if changes.is_empty() {
            plan.base()
        } else {
            self.shared
                .log
                .append(self.document.id(), plan.base(), changes)
                .await?
        };
        let changed = head > plan.base();
        let events = self.document.commit(plan, head);
        self.deliver(events);
        if changed {
            self.touch(now_ms);
            if head.since(self.checkpoint) >= limits::CHECKPOINT_CHANGES {
                tokio::spawn(self.store_checkpoint());
            }
        }
        Ok(())
    }

    /// About how many operations planning has to walk over.
    fn steps(&self, command: &Command) -> u64 {
        match command {
            Command::Submit { submission, .. } => submission.steps_to(self.document.head().next()),
            _ => 1,
        }
    }

    fn deliver(&mut self, events: Vec<(SessionId, Event)>) {
        for (session, event) in events {
            if let Event::Closed(reason) = event {
                if let Some(feed) = self.feeds.remove(&session) {
                    feed.end(End::Closed(code(reason)));
                }
            } else if let Some(feed) = self.feeds.get(&session)
                && feed.push(event).is_err()
            {
                self.document.mark_behind(session);
            }
        }
    }

    /// Tells the catalog that the document has changed, now and then: the list of documents shows
    /// when that was.
    fn touch(&mut self, now_ms: u64) {
        self.untouched_since_ms = Some(now_ms);
        if now_ms >= self.touched_ms + TOUCH_INTERVAL_MS {
            self.touched_ms = now_ms;
            tokio::spawn(self.store_touch());
        }
    }

    fn store_touch(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let (catalog, id) = (self.shared.catalog.clone(), self.document.id());
        let since_ms = self.untouched_since_ms.take();
        async move {
            if let Some(at_ms) = since_ms
                && let Err(error) = catalog.touch_document(id, at_ms).await
            {
                tracing::warn!(document = %id, %error, "the time of the last change was not stored");
            }
        }
    }

    /// A checkpoint only saves time: one that fails is tried again with the next.
    fn store_checkpoint(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let (log, id) = (self.shared.log.clone(), self.document.id());
        let snapshot = self.document.snapshot();
        self.checkpoint = snapshot.revision;
        async move {
            let encoded = tokio::task::spawn_blocking(move || snapshot.encode()).await;
            let Ok(checkpoint) = encoded else { return };
            if let Err(error) = log.put_checkpoint(id, checkpoint).await {
                tracing::warn!(document = %id, %error, "a checkpoint was not stored");
            }
        }
    }

    async fn unload(&mut self) {
        self.store_touch().await;
        if self.document.head().since(self.checkpoint) >= UNLOAD_CHECKPOINT_CHANGES {
            self.store_checkpoint().await;
        }
    }
}

/// What a session has submitted before it leaves is committed before, so that it is told of it.
fn is_leave_of_author(command: &Command, before: &[Command]) -> bool {
    let Command::Leave { session: leaving } = command else {
        return false;
    };
    before
        .iter()
        .any(|command| matches!(command, Command::Submit { session, .. } if session == leaving))
}

/// Does work of about this many steps: other documents must not wait for a large one.
fn off_async_threads<T>(steps: u64, work: impl FnOnce() -> T) -> T {
    if steps > STEPS_INLINE_MAX {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

fn code(reason: CloseReason) -> ErrorCode {
    match reason {
        CloseReason::Full => ErrorCode::DocumentFull,
        CloseReason::Replaced => ErrorCode::Replaced,
        CloseReason::Forbidden => ErrorCode::Forbidden,
        CloseReason::RevisionAhead => ErrorCode::RevisionAhead,
        _ => ErrorCode::Internal,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use motet_document::{Access, Member, Submission};
    use motet_log::MemoryLog;
    use motet_model::{Change, Checkpoint, ClientId, UserId};
    use tokio::sync::Notify;

    use super::*;
    use crate::{clock::SystemClock, collab::outbox::Outbox};

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

        async fn read(
            &self,
            _: DocumentId,
            _: Revision,
            _: usize,
        ) -> Result<Vec<Change>, LogError> {
            Ok(Vec::new())
        }

        async fn checkpoint(
            &self,
            _: DocumentId,
            _: Revision,
        ) -> Result<Option<Checkpoint>, LogError> {
            Ok(None)
        }

        async fn put_checkpoint(&self, _: DocumentId, _: Checkpoint) -> Result<(), LogError> {
            Ok(())
        }

        async fn delete(&self, _: DocumentId) -> Result<(), LogError> {
            Ok(())
        }
    }

    async fn registry<L: DocumentLog>(log: L) -> (tempfile::TempDir, Arc<Registry<Arc<L>>>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("catalog.db");
        let catalog = Catalog::open_sqlite(&file).await.unwrap();
        let registry = Registry::new(Shared {
            log: Arc::new(log),
            catalog,
            clock: Arc::new(SystemClock),
            settings: Settings::default(),
        });
        (dir, registry)
    }

    fn join() -> (Request, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::new(Arc::new(Notify::new())));
        let member = Member {
            user: UserId::from_bytes([1; 16]),
            name: "Ada".into(),
            access: Access::Write,
        };
        let command = Command::Join {
            session: SESSION,
            member,
            client_id: ClientId::from(SESSION),
            from: None,
        };
        let request = Request::Join(command, SESSION, Feed::new(Arc::clone(&outbox)));
        (request, outbox)
    }

    #[tokio::test]
    async fn a_room_that_panics_makes_place_for_another() {
        let (_dir, registry) = registry(Faulty).await;
        let room = registry.open(ID).unwrap();
        let (request, outbox) = join();
        room.send(request).await.unwrap();
        let edit = motet_ot::decode(br#"{"ops":[{"insert":"a"}]}"#).unwrap();
        let command = Command::Submit {
            session: SESSION,
            submission: Submission::new(Revision::ZERO, 1, edit),
        };
        room.send(Request::Command(command)).await.unwrap();
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
        room.send(Request::Snapshot(tell)).await.unwrap();
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
}

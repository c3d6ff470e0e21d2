//! The task of one open document: receive, plan, append, commit, publish.
//!
//! While an append is under way the next batch gathers in the inbox. On an error of the log the
//! state is dropped, not repaired: the sessions are told to come back, and the next open replays
//! the log.

use std::{collections::HashMap, sync::Arc, time::Duration};

use motet_catalog::Catalog;
use motet_document::{
    CloseReason, Command, Document, Event, OpenError, Reconciliation, Route, Settings, Snapshot,
    Submission,
};
use motet_log::{DocumentLog, LogError};
use motet_model::{Change, ClientId, Clock, DocumentId, Revision, SessionId, UserId, limits};
use motet_protocol::ErrorCode;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, sleep_until},
};

use crate::entropy;

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

/// About what replaying a change costs, in such operations.
const STEPS_PER_REPLAY: u64 = 20;

/// Later than any revision.
const HEAD: Revision = Revision::new(u64::MAX >> 1);

/// What others ask of a room.
#[derive(Debug)]
pub(crate) enum Request {
    /// A command of a session.
    Command(Command),
    /// A join, with the queue for what the session will be sent.
    Join(Command, SessionId, Feed),
    /// A session of which something could not be done, and why.
    Fail(SessionId, ErrorCode),
    /// The text at the head.
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
    /// How many submissions may be reconciled at a time: each takes a copy of its document.
    pub(crate) reconciling: Arc<Semaphore>,
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
    let result = match open(id, &shared, HEAD).await {
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
    at: Revision,
) -> Result<(Document, Revision), RoomError> {
    let checkpoint = shared.log.checkpoint(id, at).await?;
    let mut document = Document::open(id, checkpoint.as_ref(), shared.settings.clone())?;
    while document.head() < at {
        let head = document.head();
        let mut changes = shared.log.read(id, head, limits::WINDOW_BYTES_MAX).await?;
        if changes.is_empty() {
            break;
        }
        changes.truncate(usize::try_from(at.since(head)).unwrap_or(usize::MAX));
        let work = changes.len() as u64 * STEPS_PER_REPLAY;
        off_async_threads(work, || document.replay(changes))?;
    }
    let checkpoint = checkpoint.map_or(Revision::ZERO, |it| it.revision);
    Ok((document, checkpoint))
}

/// Rebuilds the document at a submission's base and makes the submission there; or finds that it was
/// committed before.
async fn reconcile<L: DocumentLog>(
    id: DocumentId,
    shared: &Shared<L>,
    (author, client_id): (UserId, ClientId),
    submission: Submission,
) -> Result<Reconciliation, RoomError> {
    // Nobody closes it.
    let _permit = shared.reconciling.acquire().await;
    let mut after = submission.base();
    let committed = loop {
        let changes = shared.log.read(id, after, limits::WINDOW_BYTES_MAX).await?;
        if changes.is_empty() {
            break None;
        }
        let count = changes.len() as u64;
        let is_it = |change: &Change| submission.is(author, &client_id, change);
        if let Some(at) = changes.iter().position(is_it) {
            break Some((after.plus(at as u64 + 1), changes[at].clone()));
        }
        after = after.plus(count);
    };
    match committed {
        None => {
            // Of 53 bits, as JavaScript counts.
            let client = u64::from_be_bytes(entropy::bytes()) >> 11;
            let base = open_at(id, shared, submission.base()).await?;
            Ok(off_async_threads(u64::MAX, || {
                Reconciliation::new(base, submission, client)
            }))
        }
        Some((_, change)) if !change.merged => Ok(Reconciliation::moved(submission)),
        Some((revision, change)) => {
            let base = open_at(id, shared, submission.base()).await?;
            let committed = open_at(id, shared, revision).await?;
            Ok(off_async_threads(u64::MAX, || {
                Reconciliation::merged(base, committed, submission, &change)
            })?)
        }
    }
}

/// The document as it was at a revision.
async fn open_at<L: DocumentLog>(
    id: DocumentId,
    shared: &Shared<L>,
    at: Revision,
) -> Result<Document, RoomError> {
    let (document, _) = open(id, shared, at).await?;
    if document.head() < at {
        // The log has become shorter: somebody has deleted it.
        return Err(LogError::Deleted { id }.into());
    }
    Ok(document)
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
                        self.take(registry, &mut batch).await?
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
    async fn take(
        &mut self,
        registry: &Registry<L>,
        batch: &mut Vec<Request>,
    ) -> Result<Option<Ended>, RoomError> {
        let mut commands = Vec::with_capacity(batch.len());
        let mut snapshots = Vec::new();
        let mut ended = None;
        let mut steps = 0_u64;
        let mut leaving = Vec::new();
        for request in batch.drain(..) {
            match request {
                Request::Command(command) => {
                    if self.follows_a_join(&command)
                        || is_leave_of_author(&command, &commands)
                        || steps > limits::TRANSFORM_STEPS_MAX
                    {
                        // The last, so that nobody waits for all of many costly edits at once.
                        self.commit(std::mem::take(&mut commands)).await?;
                        steps = 0;
                    }
                    let Some(command) = self.prepare(registry, command).await? else {
                        continue;
                    };
                    if let Command::Sync { session, .. } = command {
                        // Each answer costs as much as the document: the latest question will do.
                        commands.retain(
                            |it| !matches!(it, Command::Sync { session: of, .. } if *of == session),
                        );
                    }
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
                Request::Fail(session, code) => {
                    if let Some(feed) = self.feeds.remove(&session) {
                        feed.end(End::Closed(code));
                    }
                    commands.push(Command::Leave { session });
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

    /// What a submission needs depends on its session, and that of a join in the same batch is known
    /// only once the join is planned.
    fn follows_a_join(&self, command: &Command) -> bool {
        matches!(command, Command::Submit { session, submission }
            if self.document.is_far(submission) && !self.document.has_session(*session))
    }

    /// What a command needs before it can be planned. `None`: it comes back in another form.
    async fn prepare(
        &mut self,
        registry: &Registry<L>,
        command: Command,
    ) -> Result<Option<Command>, RoomError> {
        match command {
            Command::Submit {
                session,
                mut submission,
            } => {
                while let route @ (Route::Advance(..) | Route::Reconcile(..)) =
                    self.document.route(session, &submission)
                {
                    match route {
                        Route::Advance(author, client_id) => {
                            self.advance(&mut submission, (author, client_id)).await?;
                        }
                        Route::Reconcile(author, client_id) => {
                            let author = (author, client_id);
                            self.reconcile(registry, session, author, submission);
                            return Ok(None);
                        }
                        Route::Plan => {}
                    }
                }
                Ok(Some(Command::Submit {
                    session,
                    submission,
                }))
            }
            Command::CatchUp { session, .. } => {
                if let Some(feed) = self.feeds.get(&session) {
                    feed.resume();
                }
                Ok(Some(command))
            }
            command => Ok(Some(command)),
        }
    }

    /// Moves a submission over some changes that are only in the log.
    async fn advance(
        &self,
        submission: &mut Submission,
        (author, client_id): (UserId, ClientId),
    ) -> Result<(), RoomError> {
        let (id, base) = (self.document.id(), submission.base());
        let log = &self.shared.log;
        let changes = log.read(id, base, limits::CATCH_UP_BYTES_MAX).await?;
        let through = base.plus(changes.len() as u64);
        // To decode a byte costs about as much as to pass an operation.
        let decoded = changes.iter().map(|change| change.delta.len() as u64);
        let steps = submission.steps_to(through).saturating_add(decoded.sum());
        off_async_threads(steps, || submission.advance(author, &client_id, &changes))?;
        Ok(())
    }

    /// Reconciles a submission beside the room, which goes on meanwhile.
    fn reconcile(
        &self,
        registry: &Registry<L>,
        session: SessionId,
        author: (UserId, ClientId),
        submission: Submission,
    ) {
        let (id, shared) = (self.document.id(), self.shared.clone());
        let Some(room) = registry.get(id) else { return };
        tokio::spawn(async move {
            let request = match reconcile(id, &shared, author, submission).await {
                Ok(reconciliation) => Request::Command(Command::Reconcile {
                    session,
                    reconciliation: Box::new(reconciliation),
                }),
                Err(error) => {
                    tracing::error!(document = %id, %error, "a submission was not reconciled");
                    Request::Fail(session, error.code())
                }
            };
            // A room that has ended has no sessions: the client comes back with its submission.
            let _ended = room.send(request).await;
        });
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
            Command::Update { update, .. } => update.len() as u64,
            Command::Sync { .. } => self.document.content().replica().runs() as u64,
            Command::Reconcile { .. } => u64::MAX >> 1,
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
        let state = self.document.state();
        self.checkpoint = state.revision();
        async move {
            let encoded = tokio::task::spawn_blocking(move || state.encode()).await;
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

    use motet_document::{Access, Member, Start};
    use motet_log::MemoryLog;
    use motet_model::Checkpoint;
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
            reconciling: Arc::new(Semaphore::new(1)),
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
            start: Start::Text,
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

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

use super::{outbox::Outbox, registry::Registry};

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
    Join(Command, SessionId, Arc<Outbox>),
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

/// What every room has in common.
#[derive(Clone)]
pub(crate) struct Shared<L> {
    pub(crate) log: L,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
}

/// Runs the document until it has been idle for a while, is closed, or its log fails.
pub(crate) async fn run<L: DocumentLog + Clone>(
    id: DocumentId,
    shared: Shared<L>,
    registry: Arc<Registry<L>>,
    mut inbox: mpsc::Receiver<Request>,
) {
    let mut outboxes = HashMap::new();
    let result = match open(id, &shared).await {
        Ok((document, checkpoint)) => {
            let mut room = Room {
                document,
                shared: &shared,
                outboxes: &mut outboxes,
                checkpoint,
                untouched_since_ms: None,
                touched_ms: 0,
            };
            room.run(&registry, &mut inbox).await
        }
        Err(error) => Err(error),
    };
    let Err(error) = result else { return };
    let code = match &error {
        RoomError::Log(LogError::Deleted { .. }) => ErrorCode::NotFound,
        RoomError::Log(LogError::Corrupt { .. } | LogError::NewerFormat { .. })
        | RoomError::Open(_) => ErrorCode::Internal,
        RoomError::Log(_) => ErrorCode::Unavailable,
    };
    tracing::error!(document = %id, %error, "the document was closed: its log failed");
    registry.remove(id);
    for outbox in outboxes.values() {
        outbox.close(code);
    }
    // Whoever found this room before it was removed.
    inbox.close();
    while let Some(request) = inbox.recv().await {
        if let Request::Join(_, _, outbox) = request {
            outbox.close(code);
        }
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
    outboxes: &'a mut HashMap<SessionId, Arc<Outbox>>,
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
    ) -> Result<(), RoomError> {
        let mut batch = Vec::with_capacity(limits::BATCH_COMMANDS_MAX);
        loop {
            let deadline = self.deadline();
            tokio::select! {
                count = inbox.recv_many(&mut batch, limits::BATCH_COMMANDS_MAX) => {
                    if count == 0 {
                        return Ok(());
                    }
                    if let Some(done) = self.take(&mut batch).await? {
                        registry.remove(self.document.id());
                        self.unload().await;
                        // The one who asked may have gone; then nobody waits.
                        let _gone = done.send(());
                        return Ok(());
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
                        return Ok(());
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

    /// One round. Returns whom to tell when the room is to end.
    async fn take(
        &mut self,
        batch: &mut Vec<Request>,
    ) -> Result<Option<oneshot::Sender<()>>, RoomError> {
        let mut commands = Vec::with_capacity(batch.len());
        let mut snapshots = Vec::new();
        let mut close = None;
        let mut steps = 0_u64;
        for request in batch.drain(..) {
            match request {
                Request::Command(mut command) => {
                    if self.follows_a_join(&command) || steps > limits::TRANSFORM_STEPS_MAX {
                        // Whoever comes before need not wait for a batch of costly edits.
                        self.commit(std::mem::take(&mut commands)).await?;
                        steps = 0;
                    }
                    self.prepare(&mut command).await?;
                    steps = steps.saturating_add(self.steps(&command));
                    commands.push(command);
                }
                Request::Join(command, session, outbox) => {
                    self.outboxes.insert(session, outbox);
                    commands.push(command);
                }
                Request::Snapshot(reply) => snapshots.push(reply),
                Request::Close(code, done) => close = Some((code, done)),
            }
        }
        self.commit(commands).await?;
        for reply in snapshots {
            // The one who asked may have gone.
            let _gone = reply.send(self.document.snapshot());
        }
        Ok(close.map(|(code, done)| {
            for (_, outbox) in self.outboxes.drain() {
                outbox.close(code);
            }
            done
        }))
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
                    off_async_threads(submission.steps_to(through), || {
                        submission.advance(author, &client_id, &changes)
                    })?;
                }
            }
            Command::CatchUp { session, .. } => {
                if let Some(outbox) = self.outboxes.get(session) {
                    outbox.resume();
                }
            }
            Command::Leave { session } => {
                self.outboxes.remove(session);
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
                if let Some(outbox) = self.outboxes.remove(&session) {
                    outbox.close(code(reason));
                }
            } else if let Some(outbox) = self.outboxes.get(&session)
                && outbox.push(event).is_err()
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

    use motet_log::MemoryLog;

    use super::*;
    use crate::clock::SystemClock;

    async fn asked(room: &mpsc::Sender<Request>) -> Snapshot {
        let (tell, told) = oneshot::channel();
        room.send(Request::Snapshot(tell)).await.unwrap();
        told.await.unwrap()
    }

    #[tokio::test]
    async fn a_document_that_nobody_holds_is_unloaded_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("catalog.db");
        let catalog = Catalog::open_sqlite(&file).await.unwrap();
        let registry = Registry::new(Shared {
            log: Arc::new(MemoryLog::default()),
            catalog,
            clock: Arc::new(SystemClock),
            settings: Settings::default(),
        });
        tokio::time::pause();
        let id = DocumentId::from_bytes([7; 16]);
        let room = registry.open(id).unwrap();
        asked(&room).await;
        tokio::time::sleep(3 * IDLE).await;
        assert!(registry.get(id).is_some(), "somebody may still ask it");
        asked(&room).await;

        drop(room);
        tokio::time::sleep(3 * IDLE).await;
        assert!(registry.get(id).is_none());
        assert_eq!(
            asked(&registry.open(id).unwrap()).await.revision,
            Revision::ZERO
        );
    }
}

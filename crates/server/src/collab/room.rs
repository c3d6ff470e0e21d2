//! The task of one open document: receive, plan, append, commit, publish.
//!
//! While an append is under way the next batch gathers in the inbox. When somebody else has appended first,
//! the room follows what the log holds and plans again; while the log is not available its sessions wait; and
//! when it is not known whether an append was written, the log is read (`append.rs`). On any other error, or
//! if it lasts, the state is dropped: the sessions are told to come back, and the next open replays the log.
//! `others.rs` is what passes between it and the rooms of the document on other nodes, and `turn.rs` lets these have
//! their turns to append; `replay.rs` makes
//! documents of logs; `upkeep.rs` stores what nobody waits for.

mod append;
mod others;
mod replay;
mod turn;
mod upkeep;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use motet_bus::AnyBus;
use motet_catalog::Catalog;
use motet_document::{
    CloseReason, Command, Document, Event, OpenError, Route, Settings, Snapshot, Submission,
};
use motet_log::{DocumentLog, LogError};
use motet_model::{ClientId, Clock, DocumentId, Revision, SessionId, UserId, limits};
use motet_protocol::ErrorCode;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, sleep_until},
};

pub(super) use self::replay::open;
pub(crate) use self::replay::read;
use self::{
    replay::{HEAD, off_async_threads, reconcile},
    turn::Turn,
};
use super::{
    hints::Link,
    load::Load,
    outbox::{End, Feed},
    pace::Pace,
    registry::Registry,
    signals::Signals,
    verdicts::{Verdict, Verdicts},
};

/// How long a document stays open that nobody here is in or asks for, whatever other nodes do with it.
const IDLE: Duration = Duration::from_secs(30);

/// How many commands a room keeps room for between two batches.
const BATCH_KEPT: usize = 16;

/// A share of the bytes of large messages that may wait for rooms, all together.
pub(crate) type Space = Arc<OwnedSemaphorePermit>;

/// What others ask of a room.
#[derive(Debug)]
pub(crate) enum Request {
    /// A command of a session.
    Command(Command),
    /// The same, of a large message, with its share of what may wait.
    Large(Command, Space),
    /// A join, with the queue for what the session will be sent.
    Join(Command, SessionId, Feed),
    /// The text at the head, which is this revision at least.
    Snapshot(Revision, oneshot::Sender<Snapshot>),
    /// End every session with this code, store what there is to store, and end.
    Close(ErrorCode, oneshot::Sender<()>),
}

impl Request {
    /// The command in it, if there is one.
    fn command(&self) -> Option<&Command> {
        match self {
            Self::Command(command) | Self::Large(command, _) | Self::Join(command, ..) => {
                Some(command)
            }
            Self::Snapshot(..) | Self::Close(..) => None,
        }
    }

    /// Whether it is about what others have appended and the document may not have yet.
    fn is_ahead_of(&self, document: &Document) -> bool {
        match self {
            Self::Snapshot(least, _) => *least > document.head(),
            request => request.command().is_some_and(|it| document.is_behind(it)),
        }
    }

    /// A large command is one like all others, but for its space.
    fn unpack(self, spaces: &mut Vec<Space>) -> Self {
        match self {
            Self::Large(command, space) => {
                spaces.push(space);
                Self::Command(command)
            }
            request => request,
        }
    }
}

/// Why a room ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoomError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the log did not answer, and the room was to end")]
    GivenUp,
}

impl RoomError {
    /// What the sessions are told.
    fn code(&self) -> ErrorCode {
        match self {
            Self::Log(LogError::Deleted { .. }) => ErrorCode::NotFound,
            Self::Log(LogError::Corrupt { .. } | LogError::NewerFormat { .. }) | Self::Open(_) => {
                ErrorCode::Internal
            }
            Self::Log(_) | Self::GivenUp => ErrorCode::Unavailable,
        }
    }
}

/// What the rooms of a node have done so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Plans that were appended.
    pub(crate) appends: AtomicU64,
    /// Plans that had to be made again, since another node had appended first.
    pub(crate) races_lost: AtomicU64,
}

/// What every room has in common.
#[derive(Clone)]
pub(crate) struct Shared<L> {
    pub(crate) log: L,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<dyn Clock>,
    /// The way to other nodes, if the log is shared with any.
    pub(crate) bus: Arc<AnyBus>,
    pub(crate) settings: Settings,
    pub(crate) tally: Arc<Tally>,
    /// How busy the machine is.
    pub(crate) load: Arc<Load>,
    /// How many submissions may be reconciled at a time: each takes a copy of its document.
    pub(crate) reconciling: Arc<Semaphore>,
    /// How many texts may be indexed at a time: the catalog takes one.
    pub(crate) indexing: Arc<Semaphore>,
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
    (verdicts, signals): (Arc<Verdicts>, Arc<Signals>),
) {
    let mut feeds = HashMap::new();
    // Before the log is read: what others append from here on is heard of.
    let link = Link::open(id, shared.settings.shared.then_some(&shared.bus));
    let opened = tokio::select! {
        biased;
        opened = Box::pin(open(id, &shared.log, &shared.settings, HEAD)) => opened,
        () = signals.given_up() => Err(RoomError::GivenUp),
    };
    let result = match opened {
        Ok((document, checkpoint)) => {
            let mut room = Room {
                document,
                shared: &shared,
                feeds: &mut feeds,
                verdicts: &verdicts,
                signals: &signals,
                leaving: Vec::new(),
                link,
                turn: Turn::default(),
                pace: Pace::default(),
                used: Instant::now(),
                checkpoint,
                checkpoint_ms: 0,
                is_last: true,
                untouched_since_ms: None,
                touched_ms: 0,
                unindexed_since_ms: None,
                indexed_ms: 0,
            };
            room.begin();
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
    for feed in feeds.values_mut() {
        feed.close(code);
    }
    while let Some(request) = inbox.recv().await {
        if let Request::Join(_, _, mut feed) = request {
            feed.close(code);
        }
    }
    if let Some(asked) = asked {
        // The one who asked may have gone; then nobody waits.
        let _gone = asked.send(());
    }
}

struct Room<'a, L> {
    document: Document,
    shared: &'a Shared<L>,
    feeds: &'a mut HashMap<SessionId, Feed>,
    verdicts: &'a Verdicts,
    signals: &'a Signals,
    /// Those whose feeds end once all is committed that they have asked for.
    leaving: Vec<SessionId>,
    link: Link,
    turn: Turn,
    pace: Pace,
    /// When somebody here was last in it or asked for something.
    used: Instant,
    /// The latest revision that a checkpoint holds or is being made of.
    checkpoint: Revision,
    /// When the last one was made here.
    checkpoint_ms: u64,
    /// No other node has appended since this one did, or opened the document.
    is_last: bool,
    /// The catalog's time of the last change is older than it should be since then.
    untouched_since_ms: Option<u64>,
    touched_ms: u64,
    /// Search does not know the text as it has been since then.
    unindexed_since_ms: Option<u64>,
    indexed_ms: u64,
}

impl<L: DocumentLog + Clone> Room<'_, L> {
    async fn run(
        &mut self,
        registry: &Registry<L>,
        inbox: &mut mpsc::Receiver<Request>,
    ) -> Result<Ended, RoomError> {
        // What a room does is boxed, and its batch given back: they are much larger than what it needs while
        // nothing happens.
        let mut batch = Vec::new();
        loop {
            let (opens, paced) = (self.turn.opens(), self.pace.until());
            let deadlines = [opens, paced, Some(self.deadline())];
            let deadline = deadlines.into_iter().flatten().min();
            let gathers = opens.is_some() || paced.is_some();
            let mut ended = None;
            tokio::select! {
                count = inbox.recv_many(&mut batch, limits::BATCH_COMMANDS_MAX), if !gathers => {
                    if count == 0 {
                        ended = Some(Ended::Idle);
                    }
                }
                () = self.verdicts.more() => {}
                () = self.signals.looked() => Box::pin(self.look()).await?,
                heard = self.link.heard() => Box::pin(self.hear(heard)).await?,
                () = self.pace.changed(), if paced.is_some() => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now)) => {}
            }
            // By the clock: where there is always something to do, sleep may come last.
            let now_ms = self.shared.clock.now_ms();
            if self.is_due(now_ms) {
                // Signs of life first: they may have waited for long.
                while batch.len() < limits::BATCH_COMMANDS_MAX
                    && let Ok(request) = inbox.try_recv()
                {
                    batch.push(request);
                }
            }
            let is_used = !batch.is_empty() || self.document.sessions() > 0;
            if ended.is_none() {
                ended = Box::pin(self.take(registry, &mut batch)).await?;
            }
            batch.shrink_to(BATCH_KEPT);
            if let Some(ended) = ended {
                inbox.close();
                self.say_goodbye();
                Box::pin(self.unload(registry)).await;
                return Ok(ended);
            }
            if self.is_due(now_ms) {
                let events = self.document.tick(now_ms);
                self.deliver(events);
                self.report(now_ms);
                self.index_when_due(now_ms);
            }
            if is_used {
                self.used = Instant::now();
            } else if self.due_ms().is_none() && self.used.elapsed() >= IDLE {
                if registry.remove_idle(self.document.id(), inbox) {
                    Box::pin(self.unload(registry)).await;
                    return Ok(Ended::Idle);
                }
                // Somebody may still ask.
                self.used = Instant::now();
            }
        }
    }

    /// When there is something to do even if nobody asks.
    fn due_ms(&self) -> Option<u64> {
        let due_ms = [self.document.tick_due_ms(), self.index_due_ms()];
        due_ms.into_iter().flatten().min()
    }

    fn is_due(&self, now_ms: u64) -> bool {
        self.due_ms().is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// When the room is to look for what is due, or whether it is idle.
    fn deadline(&self) -> Instant {
        self.due_ms().map_or(self.used + IDLE, |due_ms| {
            let after_ms = due_ms.saturating_sub(self.shared.clock.now_ms());
            Instant::now() + Duration::from_millis(after_ms)
        })
    }

    /// One round. Returns why the room is to end, if it is.
    async fn take(
        &mut self,
        registry: &Registry<L>,
        batch: &mut Vec<Request>,
    ) -> Result<Option<Ended>, RoomError> {
        if batch
            .iter()
            .any(|request| request.is_ahead_of(&self.document))
        {
            self.look().await?;
        }
        let mut commands = self.carry_out();
        let mut snapshots = Vec::new();
        let mut ended = None;
        let mut steps = 0_u64;
        // Held until everything is committed.
        let mut spaces = Vec::new();
        for request in batch.drain(..) {
            match request.unpack(&mut spaces) {
                Request::Command(command) => {
                    if self.follows_a_join(&command) || steps > limits::TRANSFORM_STEPS_MAX {
                        // The latter so that nobody waits for all of many costly edits at once.
                        self.commit(registry, std::mem::take(&mut commands)).await?;
                        commands = self.carry_out();
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
                        self.verdicts.take_one(*session);
                        self.leaving.push(*session);
                    }
                    commands.push(command);
                }
                Request::Join(command, session, feed) => {
                    self.feeds.insert(session, feed);
                    commands.push(command);
                    if let Some(verdict) = self.verdicts.take_one(session) {
                        let command = self.effect(session, verdict);
                        commands.push(command);
                    }
                }
                Request::Large(..) => unreachable!("it is unpacked"),
                Request::Snapshot(_, reply) => snapshots.push(reply),
                Request::Close(code, done) => ended = Some(Ended::Asked(code, done)),
            }
        }
        self.commit(registry, commands).await?;
        for session in std::mem::take(&mut self.leaving) {
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

    /// What has become of sessions since the last time comes before all that they still ask.
    fn carry_out(&mut self) -> Vec<Command> {
        let verdicts = self
            .verdicts
            .take(|session| self.feeds.contains_key(&session));
        let effect = |(session, verdict)| self.effect(session, verdict);
        verdicts.into_iter().map(effect).collect()
    }

    fn effect(&mut self, session: SessionId, verdict: Verdict) -> Command {
        match verdict {
            Verdict::Access(access) => Command::SetAccess {
                session,
                access: Some(access),
            },
            Verdict::End(code) => {
                if let Some(feed) = self.feeds.get_mut(&session) {
                    feed.close(code);
                }
                self.leaving.push(session);
                Command::Leave { session }
            }
        }
    }

    /// What a submission needs depends on its session, and that of a join in the same batch is known
    /// only once the join is planned, or even committed.
    fn follows_a_join(&self, command: &Command) -> bool {
        if self.shared.settings.shared {
            return command.is_edit() && !self.document.has_session(command.session());
        }
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

    /// Moves a submission over some changes that are only in the log, but over none that are not here yet:
    /// it would speak of a later revision than the document has.
    async fn advance(
        &mut self,
        submission: &mut Submission,
        (author, client_id): (UserId, ClientId),
    ) -> Result<(), RoomError> {
        let base = submission.base();
        let mut changes = self.read_on(base).await?;
        let known = self.document.head().since(base);
        changes.truncate(usize::try_from(known).unwrap_or(usize::MAX));
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
            match reconcile(id, &shared, author, submission).await {
                Ok(reconciliation) => {
                    let command = Command::Reconcile {
                        session,
                        reconciliation: Box::new(reconciliation),
                    };
                    // A room that has ended has no sessions: the client comes back with its submission.
                    let _ended = room.send(Request::Command(command)).await;
                }
                Err(error) => {
                    tracing::error!(document = %id, %error, "a submission was not reconciled");
                    room.verdicts.pass(session, Verdict::End(error.code()));
                }
            }
        });
    }

    /// About how many operations planning has to walk over.
    fn steps(&self, command: &Command) -> u64 {
        match command {
            Command::Submit { submission, .. } => self.document.work(submission),
            Command::Update { update, .. } => update.len() as u64,
            Command::Sync { .. } => self.document.content().replica().runs() as u64,
            Command::Reconcile { .. } => u64::MAX >> 1,
            _ => 1,
        }
    }

    fn deliver(&mut self, events: Vec<(SessionId, Event)>) {
        if events.is_empty() {
            return;
        }
        let Self {
            pace,
            feeds,
            document,
            ..
        } = self;
        pace.say(|waiting| {
            for (session, event) in events {
                if let Event::Closed(reason) = event {
                    if let Some(mut feed) = feeds.remove(&session) {
                        feed.close(code(reason));
                    }
                } else if let Some(feed) = feeds.get_mut(&session) {
                    if matches!(event, Event::Joined(_)) {
                        feed.open();
                    }
                    if feed.push(event, waiting).is_err() {
                        document.mark_behind(session);
                    }
                }
            }
        });
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
mod tests;
#[cfg(test)]
mod trial;

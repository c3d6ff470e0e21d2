//! The state machine.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use motet_model::{Change, Checkpoint, ClientId, DocumentId, Revision, SessionId, limits};
use motet_ot::Delta;

use crate::{
    Access, Changes, CloseReason, Command, Committed, Event, Events, Plan, Reject, Selection,
    Snapshot, Start, State, awareness,
    checkpoint::OpenError,
    clients::{Clients, Last},
    content::{Bounds, Content, ROOT},
    delivery::Kept,
    plan::{Outcome, Step},
    presence::{self, Wire},
    session::{Delivery, Dialect, Session, Sessions},
    submission,
    window::{Milestones, Window},
};

/// Bounds of one document; the defaults are those of [`limits`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// The root that clients which speak positions edit; a document that has been stored keeps its own.
    pub root: Arc<str>,
    /// Most changes kept in memory.
    pub window_changes_max: usize,
    /// Most bytes of changes kept in memory.
    pub window_bytes_max: usize,
    /// Most bytes of changes sent in one step of a catch-up.
    pub catch_up_bytes_max: usize,
    /// Most sessions at a time.
    pub sessions_max: usize,
    /// Most [steps](crate::Submission::steps_to) that moving one submission to the head may take.
    pub transform_steps_max: u64,
    /// The longest that the text may be, in UTF-16 code units.
    pub len_utf16_max: usize,
    /// The largest that the text may be, in bytes.
    pub text_bytes_max: usize,
    /// The most memory that all of the content may take.
    pub replica_bytes_max: usize,
    /// Other nodes append to the log as well: a client that comes with a text of its own may come from one of
    /// them, where its edits may still be under way. See [`Document::plan`].
    pub shared: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root: ROOT.into(),
            window_changes_max: limits::WINDOW_CHANGES_MAX,
            window_bytes_max: limits::WINDOW_BYTES_MAX,
            catch_up_bytes_max: limits::CATCH_UP_BYTES_MAX,
            sessions_max: limits::SESSIONS_PER_DOCUMENT_MAX,
            transform_steps_max: limits::TRANSFORM_STEPS_MAX,
            len_utf16_max: limits::DOCUMENT_LEN_UTF16_MAX,
            text_bytes_max: limits::DOCUMENT_BYTES_MAX,
            replica_bytes_max: limits::REPLICA_BYTES_MAX,
            shared: false,
        }
    }
}

impl Settings {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            len_utf16_max: self.len_utf16_max,
            text_bytes_max: self.text_bytes_max,
            replica_bytes_max: self.replica_bytes_max,
        }
    }
}

/// One live document.
#[derive(Debug)]
pub struct Document {
    pub(crate) id: DocumentId,
    pub(crate) settings: Settings,
    /// The revision that is durable. Content and window are ahead of it while a plan is out.
    pub(crate) head: Revision,
    pub(crate) content: Content,
    pub(crate) window: Window,
    pub(crate) milestones: Milestones,
    pub(crate) clients: Clients,
    pub(crate) sessions: Sessions,
    pub(crate) shared_text: Option<Kept>,
    /// Some identities were not stored with their changes, but made when those were read.
    derived: bool,
}

impl Document {
    /// Opens a document at its latest checkpoint, or empty; [`replay`](Self::replay) does the rest.
    ///
    /// # Errors
    ///
    /// As [`OpenError`] says.
    pub fn open(
        id: DocumentId,
        checkpoint: Option<&Checkpoint>,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        let State {
            revision,
            content,
            clients,
            derived,
        } = match checkpoint {
            Some(checkpoint) => State::decode(checkpoint, &settings.root)?,
            None => State::new(Arc::clone(&settings.root)),
        };
        Ok(Self {
            id,
            settings,
            head: revision,
            content,
            window: Window::new(revision),
            milestones: Milestones::default(),
            clients,
            sessions: Sessions::default(),
            shared_text: None,
            derived,
        })
    }

    /// Applies the changes that the log holds directly after the head, while nobody is here yet.
    ///
    /// # Errors
    ///
    /// `Corrupt`: a change does not apply. The document is unusable then.
    pub fn replay(&mut self, changes: Vec<Change>) -> Result<(), OpenError> {
        for change in changes {
            self.apply(change)?;
            self.trim();
        }
        Ok(())
    }

    /// Applies the changes that others have appended directly after the head, and sends them to those who are
    /// here. O(k log n) for k changes.
    ///
    /// # Errors
    ///
    /// `Corrupt`: a change does not apply. The document is unusable then.
    ///
    /// # Panics
    ///
    /// When a plan is out.
    pub fn follow(&mut self, changes: Vec<Change>) -> Result<Events, OpenError> {
        let applied: Result<Vec<_>, _> = changes
            .into_iter()
            .map(|change| self.apply(change))
            .collect();
        let applied = applied?;
        let mut events = Events::new();
        if self.settings.shared {
            for entry in &applied {
                self.move_away(&mut events, &entry.change);
            }
        }
        self.publish(&mut events, applied);
        self.come_to_head();
        Ok(events)
    }

    /// A client whose changes another node appends is there now.
    fn move_away(&mut self, events: &mut Events, change: &Change) {
        let of = self.sessions.by_client(change.author, &change.client_id);
        let Some(id) = of else { return };
        let session = self.sessions.get(id);
        if session.is_some_and(|session| session.dialect == Dialect::Ot) {
            self.sessions.leave(id);
            events.push((id, Event::Closed(CloseReason::Replaced)));
        }
    }

    fn apply(&mut self, change: Change) -> Result<Arc<Committed>, OpenError> {
        self.assert_idle();
        let revision = self.head.next();
        let delta = submission::decode(&change, revision)?;
        self.content
            .replay(&delta, &change.update)
            .map_err(|error| OpenError::Corrupt {
                revision,
                detail: error.to_string(),
            })?;
        self.derived |= change.update.is_empty() && !delta.ops().is_empty();
        // Edits by identities are not counted: they cannot be made twice.
        if change.seq > 0 {
            let key = (change.author, change.client_id.clone());
            let last = Last {
                seq: change.seq,
                revision,
            };
            let _durable = self.clients.record(key, last);
        }
        let entry = Arc::new(Committed {
            revision,
            session: None,
            number: None,
            change,
            delta: Arc::new(delta),
            wire: Wire::default(),
        });
        self.window.push(Arc::clone(&entry));
        self.head = revision;
        Ok(entry)
    }

    /// The document's id.
    #[must_use]
    pub fn id(&self) -> DocumentId {
        self.id
    }

    /// The latest revision that is durable.
    #[must_use]
    pub fn head(&self) -> Revision {
        self.head
    }

    /// The revision before the first change that is still in memory.
    #[must_use]
    pub fn window_start(&self) -> Revision {
        self.window.start()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Whether this is the session of a join that has been planned.
    #[must_use]
    pub fn has_session(&self, session: SessionId) -> bool {
        self.sessions.get(session).is_some()
    }

    /// The text at the head. O(1).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.assert_idle();
        Snapshot {
            revision: self.head,
            content: self.content.text().clone(),
        }
    }

    /// All of the document at the head, to make a checkpoint of. O(n), but only a copy of memory.
    #[must_use]
    pub fn state(&self) -> State {
        self.assert_idle();
        State {
            revision: self.head,
            content: self.content.clone(),
            clients: self.clients.clone(),
            derived: self.derived,
        }
    }

    /// The content at the head, or at the end of a plan that is out.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The content, for one that was opened to be edited at an earlier revision. `None`: its identities
    /// need not be those of the head.
    pub(crate) fn into_content(self) -> Option<Content> {
        (!self.derived).then_some(self.content)
    }

    /// Whether a command may be about what others have appended and is not here yet: it speaks of a later
    /// revision, or of what edits by position made then, or its answer says how far a client has counted, which
    /// another node may know better.
    #[must_use]
    pub fn is_behind(&self, command: &Command) -> bool {
        match command {
            Command::Join { .. } if self.may_come_from_elsewhere(command) => true,
            Command::Sync { state_vector, .. } => self.content.is_behind(state_vector),
            _ => command.revision().is_some_and(|it| it > self.head),
        }
    }

    /// Whether it is a join of a client that may have edited at another node: one that brings a text, or a name
    /// that it has used before. Who may only read has nothing under way, and edits by identities cannot be made
    /// twice.
    fn may_come_from_elsewhere(&self, command: &Command) -> bool {
        let Command::Join {
            session,
            member,
            client_id,
            start,
        } = command
        else {
            return false;
        };
        let has_history = match start {
            Start::Text => *client_id != ClientId::from(*session),
            Start::Revision { .. } => true,
            Start::Once(_) | Start::Identities => false,
        };
        self.settings.shared && member.access == Access::Write && has_history
    }

    /// Whether it is a join that is a change itself: of who brings a text, or has edited.
    fn is_marked(&self, command: &Command) -> bool {
        let has_edited = match command {
            Command::Join {
                member,
                client_id,
                start: Start::Text,
                ..
            } => {
                let key = (member.user, client_id.clone());
                self.clients.last(&key).is_some()
            }
            _ => true,
        };
        has_edited && self.may_come_from_elsewhere(command)
    }

    /// Does what changes no content, and works out what the edits do. The events are of what is durable, and
    /// may be sent at once.
    ///
    /// What a session asks for after an edit is put off until that is committed. Commands of sessions that
    /// are not here are ignored: they have left, or were closed.
    ///
    /// **fenced**: where the log is [shared](Settings::shared), the join of a client that may have edits under
    /// way at another node is a change itself, of nothing. What stands before it in the log is known when the
    /// client is answered; what does not, never gets there: the other node loses the race, and learns that the
    /// client has moved. Until it is committed, nothing of the session can be planned.
    ///
    /// # Panics
    ///
    /// When a plan is still out, or a submission needs what [`route`](Self::route) says first.
    pub fn plan(
        &mut self,
        now_ms: u64,
        commands: impl IntoIterator<Item = Command>,
    ) -> (Events, Plan) {
        self.assert_idle();
        let mut events = Events::new();
        let mut edits = Vec::new();
        let mut editing = HashSet::new();
        for command in commands {
            let session = command.session();
            let is_put_off = editing.contains(&session);
            if is_put_off || command.is_edit() || self.is_marked(&command) {
                editing.insert(session);
                edits.push(command);
            } else {
                self.take(&mut events, now_ms, command);
            }
        }
        let mut plan = Plan {
            base: self.head,
            now_ms,
            changes: Vec::new(),
            steps: Vec::with_capacity(edits.len()),
            access: HashMap::new(),
            joins: 0,
            replaced: Vec::new(),
        };
        if !edits.is_empty() {
            self.content.savepoint();
        }
        for mut command in edits {
            let outcome = self.edit(&mut plan, &mut command);
            plan.steps.push(Step { command, outcome });
        }
        (events, plan)
    }

    /// Makes a plan visible, now that its changes are durable up to `head`.
    ///
    /// # Panics
    ///
    /// When `head` is not where the plan leads.
    #[must_use]
    pub fn commit(&mut self, plan: Plan, head: Revision) -> Events {
        assert_eq!(head, self.window.head(), "a plan is committed whole");
        let Plan {
            now_ms,
            changes,
            steps,
            ..
        } = plan;
        self.head = head;
        if !steps.is_empty() {
            self.content.release();
        }
        for entry in &changes {
            if let Some(session) = entry.session {
                let caret = presence::caret_after(&entry.delta);
                self.sessions.typed(session, caret, entry.revision);
            }
        }
        let mut events = Events::new();
        for step in &steps {
            self.merged(&mut events, step);
        }
        self.publish(&mut events, changes);
        for step in steps {
            self.finish(&mut events, now_ms, step);
        }
        self.come_to_head();
        events
    }

    /// Takes a plan back whose changes were not appended, and gives back the commands that it was made of:
    /// they can be planned again. O(k log n) for k runs that the plan changed.
    #[must_use]
    pub fn abort(&mut self, plan: Plan) -> Vec<Command> {
        if !plan.steps.is_empty() {
            self.content.rollback();
        }
        self.window.take_back(self.head);
        for replaced in plan.replaced.into_iter().rev() {
            self.clients.undo(replaced);
        }
        let commands = plan.steps.into_iter().map(|step| step.command);
        commands.collect()
    }

    /// **in order**: sends changes that are durable now to all who have those before.
    fn publish(&mut self, events: &mut Events, changes: Vec<Arc<Committed>>) {
        if changes.is_empty() {
            return;
        }
        let changes = Changes::new(changes);
        for (id, session) in self.sessions.iter_mut() {
            if let Delivery::Live(sent) = session.delivery
                && sent < self.head
            {
                session.delivery = Delivery::Live(self.head);
                let changes = changes.after(sent);
                events.push((
                    *id,
                    Event::Changes {
                        changes,
                        live: true,
                    },
                ));
            }
        }
    }

    /// The head has moved.
    fn come_to_head(&mut self) {
        self.trim();
        if self.sessions.has_yjs() && self.milestones.is_due(self.head) {
            self.milestones
                .push(self.head, self.content.replica().state_vector());
        }
    }

    /// When [`tick`](Self::tick), or where it is switched on [`report`](Self::report), is due next, in ms;
    /// `None` while nobody is here.
    #[must_use]
    pub fn tick_due_ms(&self) -> Option<u64> {
        let due_ms = [
            self.sessions.due_ms(self.head),
            self.sessions.report_due_ms(),
        ];
        due_ms.into_iter().flatten().min()
    }

    /// Presence: gives up silent sessions, and tells everyone who came, moved and left.
    #[must_use]
    pub fn tick(&mut self, now_ms: u64) -> Events {
        self.assert_idle();
        self.age(now_ms);
        self.forget_shared_text(now_ms);
        let Some(update) = self.sessions.tick(&self.window, &self.content, now_ms) else {
            return Vec::new();
        };
        let update = Arc::new(update);
        let concerns = |dialect| match dialect {
            Dialect::Ot => update.concerns_positions(),
            Dialect::Yjs => !update.awareness.is_empty(),
        };
        let events: Events = (self.sessions.iter_mut())
            .filter(|(_, session)| matches!(session.delivery, Delivery::Live(_)))
            .filter(|(_, session)| concerns(session.dialect))
            .map(|(id, _)| (*id, Event::Presence(Arc::clone(&update))))
            .collect();
        self.sessions.tells(&update, events.len());
        events
    }

    /// The session's queue was full, and changes or presence for it were dropped: it is sent nothing
    /// more until it asks to catch up.
    pub fn mark_behind(&mut self, session: SessionId) {
        // One that is held has been sent nothing that could be missing.
        if let Some(session) = self.sessions.get_mut(session)
            && matches!(session.delivery, Delivery::Live(_))
        {
            session.delivery = Delivery::Behind;
        }
    }

    /// Plans an edit, or puts off what is none.
    fn edit(&mut self, plan: &mut Plan, command: &mut Command) -> Outcome {
        let is_ahead = command.revision().is_some_and(|it| it > self.head);
        let outcome = match command {
            Command::Submit {
                session,
                submission,
            } => {
                self.sessions.heard(*session, plan.now_ms);
                self.submit(plan, *session, submission.clone())
            }
            Command::Reconcile {
                session,
                reconciliation,
            } => self.reconcile(plan, *session, reconciliation),
            Command::Update { session, update } => {
                self.sessions.heard(*session, plan.now_ms);
                self.update(plan, *session, update)
            }
            Command::Join {
                member, client_id, ..
            } => {
                // Before anything is appended for who is not let in.
                let refusal = if is_ahead {
                    Some(CloseReason::RevisionAhead)
                } else if self.sessions.by_client(member.user, client_id).is_some() {
                    None
                } else {
                    plan.joins += 1;
                    // Who leaves before has been put off, and is gone when this comes.
                    let leave = |(id, access): (&SessionId, &Option<Access>)| {
                        access.is_none() && self.sessions.get(*id).is_some()
                    };
                    let leaving = plan.access.iter().filter(|it| leave(*it)).count();
                    let sessions = self.sessions.len() + plan.joins - leaving;
                    (sessions > self.settings.sessions_max).then_some(CloseReason::Full)
                };
                if let Some(reason) = refusal {
                    return Outcome::Refused(reason);
                }
                self.mark(plan, member.user, client_id.clone());
                Ok(Outcome::Put)
            }
            Command::Leave { session } => {
                plan.access.insert(*session, None);
                Ok(Outcome::Put)
            }
            Command::SetAccess { session, access } => {
                plan.access.insert(*session, *access);
                Ok(Outcome::Put)
            }
            _ => Ok(Outcome::Put),
        };
        outcome.unwrap_or_else(Outcome::Rejected)
    }

    /// A session whose submission was reconciled is at that revision, and is sent what follows.
    fn merged(&mut self, events: &mut Events, step: &Step) {
        if let (Command::Reconcile { reconciliation, .. }, Outcome::Merged(revision, operation)) =
            (&step.command, &step.outcome)
            && let Some(session) = self.sessions.get_mut(step.command.session())
        {
            session.delivery = Delivery::Live(*revision);
            let event = Event::Reconciled {
                seq: reconciliation.seq,
                revision: *revision,
                operation: Arc::clone(operation),
            };
            events.push((step.command.session(), event));
        }
    }

    /// What comes of a command, now that its plan is committed.
    fn finish(&mut self, events: &mut Events, now_ms: u64, step: Step) {
        let id = step.command.session();
        match step.outcome {
            Outcome::Put => return self.take(events, now_ms, step.command),
            Outcome::Refused(reason) => return events.push((id, Event::Closed(reason))),
            // One that has left, or whose place another took, is told nothing.
            _ if !self.has_session(id) => return,
            Outcome::Planned => {
                if let Command::Reconcile { reconciliation, .. } = step.command {
                    self.found(events, id, *reconciliation);
                }
            }
            Outcome::Acknowledged(seq, revision) => {
                events.push((id, Event::Acknowledged { seq, revision }));
            }
            Outcome::Stored => events.push((id, Event::UpdateStored)),
            Outcome::Merged(..) => self.show_everyone(events, id),
            Outcome::Rejected(reject) => {
                let seq = match &step.command {
                    Command::Submit { submission, .. } => submission.seq(),
                    Command::Reconcile { reconciliation, .. } => Some(reconciliation.seq),
                    _ => None,
                };
                events.push((id, Event::Rejected { seq, reject }));
                if let Command::Reconcile { reconciliation, .. } = &step.command {
                    self.hold_again(id, reconciliation.base);
                }
            }
        }
        self.release(events, id);
    }

    /// What changes no content.
    fn take(&mut self, events: &mut Events, now_ms: u64, command: Command) {
        match command {
            Command::Join {
                session,
                member,
                client_id,
                start,
            } => self.join(events, now_ms, session, member, client_id, start),
            Command::Leave { session } => self.sessions.leave(session),
            Command::Sync {
                session,
                state_vector,
            } => {
                self.sessions.heard(session, now_ms);
                self.bring(events, session, &state_vector, true);
            }
            Command::Awareness { session, states } => {
                self.sessions.heard(session, now_ms);
                let result = awareness::check(&states);
                if result.is_ok() {
                    let fresh = self.sessions.aware(session, states);
                    let revision = self.window.head();
                    self.sessions
                        .show_states(session, &fresh, &self.content, revision);
                }
                reject(events, session, result);
            }
            Command::AskPresence { session } => self.show_everyone(events, session),
            Command::CatchUp { session, after } => {
                let waits =
                    |it: &Session| matches!(it.delivery, Delivery::Held(_) | Delivery::Reconciling);
                if !self.sessions.get(session).is_some_and(waits) {
                    self.catch_up(events, session, after);
                }
            }
            Command::Select {
                session,
                selection,
                revision,
            } => {
                self.sessions.heard(session, now_ms);
                let result = self.select(session, selection, revision);
                reject(events, session, result);
            }
            Command::Describe { session, data } => {
                self.sessions.heard(session, now_ms);
                self.sessions.describe(session, data);
            }
            Command::Heard { session } => self.sessions.heard(session, now_ms),
            Command::SetAccess { session, access } => self.set_access(events, session, access),
            Command::Submit { .. } | Command::Reconcile { .. } | Command::Update { .. } => {
                unreachable!("edits are planned")
            }
        }
    }

    fn select(
        &mut self,
        id: SessionId,
        selection: Option<Selection>,
        revision: Revision,
    ) -> Result<(), Reject> {
        if revision > self.head {
            return Err(Reject::RevisionAhead {
                revision,
                head: self.head,
            });
        }
        // A cursor from before the window is stale: the client's next one will do.
        let Some(passed) = self.window.passed_after(revision) else {
            return Ok(());
        };
        let selection = selection.map(|at| passed.fold(at, Selection::transform));
        let len_utf16 = self.content.text().len_utf16();
        if let Some(position) = selection.map(|at| at.anchor.max(at.head))
            && position > len_utf16
        {
            return Err(Reject::OutOfRange {
                position,
                len_utf16,
            });
        }
        self.sessions.select(id, selection, self.window.head());
        Ok(())
    }

    fn set_access(&mut self, events: &mut Events, id: SessionId, access: Option<Access>) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        let dialect = session.dialect;
        let Some(access) = access else {
            self.sessions.leave(id);
            return events.push((id, Event::Closed(CloseReason::Forbidden)));
        };
        self.sessions.set_access(id, access);
        events.push((id, Event::AccessChanged(access)));
        if access == Access::Write && dialect == Dialect::Yjs {
            // Told what the document has, the client sends what it has besides: edits that were
            // refused, on which its next ones stand.
            let made = self.content.replica().state_vector();
            self.bring(events, id, &made, true);
        }
    }

    /// Adds a change to the plan.
    pub(crate) fn add(
        &mut self,
        plan: &mut Plan,
        session: Option<SessionId>,
        change: Change,
        delta: Arc<Delta>,
    ) -> Revision {
        let revision = self.window.head().next();
        let shown = session.and_then(|id| self.sessions.get(id));
        let shown = shown.filter(|session| !session.hidden);
        let entry = Arc::new(Committed {
            revision,
            session,
            number: shown.map(|session| session.number),
            change,
            delta,
            wire: Wire::default(),
        });
        self.window.push(Arc::clone(&entry));
        plan.changes.push(entry);
        revision
    }

    fn trim(&mut self) {
        let changes_max = self.settings.window_changes_max;
        let bytes_max = self.settings.window_bytes_max;
        if self.window.is_full(changes_max, bytes_max) {
            // Cursors that stand on what goes would be lost.
            self.sessions.advance(&self.window);
            self.window.trim(changes_max, bytes_max);
        }
    }

    fn age(&mut self, now_ms: u64) {
        let then_ms = now_ms.saturating_sub(limits::WINDOW_AGE_MS);
        if self.window.is_aged(then_ms, limits::WINDOW_CHANGES_KEPT) {
            self.sessions.advance(&self.window);
            self.window.age(then_ms, limits::WINDOW_CHANGES_KEPT);
        }
    }

    pub(crate) fn assert_idle(&self) {
        assert_eq!(self.head, self.window.head(), "a plan is out");
    }
}

fn reject(events: &mut Events, session: SessionId, result: Result<(), Reject>) {
    if let Err(reject) = result {
        events.push((session, Event::Rejected { seq: None, reject }));
    }
}

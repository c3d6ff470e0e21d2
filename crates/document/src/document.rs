//! The state machine.

use std::sync::Arc;

use motet_model::{Change, Checkpoint, DocumentId, Revision, SessionId, limits};
use motet_ot::Delta;

use crate::{
    Access, Changes, CloseReason, Command, Committed, Event, Reject, Selection, Snapshot, State,
    awareness,
    checkpoint::OpenError,
    clients::{Clients, Last},
    content::{Bounds, Content, ROOT},
    presence::Wire,
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
    /// Some identities were not stored with their changes, but made when those were read.
    derived: bool,
}

/// Changes to append, and what to tell the sessions once that is done.
///
/// A plan that is not committed leaves the document unusable: drop both and open it from the log.
#[derive(Debug)]
#[must_use = "append its changes, then commit it"]
pub struct Plan {
    base: Revision,
    pub(crate) changes: Vec<Arc<Committed>>,
    pub(crate) replies: Vec<(SessionId, Event)>,
}

impl Plan {
    /// The revision that the changes follow.
    #[must_use]
    pub fn base(&self) -> Revision {
        self.base
    }

    /// The changes to append; when there are none, there is nothing to wait for.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.changes
            .iter()
            .map(|entry| entry.change.clone())
            .collect()
    }

    /// Whose each change is, in order.
    pub fn authors(&self) -> impl Iterator<Item = (SessionId, Revision)> {
        let changes = self.changes.iter();
        changes.filter_map(|entry| Some((entry.session?, entry.revision)))
    }

    pub(crate) fn reply(&mut self, session: SessionId, event: Event) {
        self.replies.push((session, event));
    }
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
            derived,
        })
    }

    /// Applies the changes that the log holds directly after the head.
    ///
    /// # Errors
    ///
    /// `Corrupt`: a change does not apply. The document is unusable then.
    pub fn replay(&mut self, changes: Vec<Change>) -> Result<(), OpenError> {
        self.assert_idle();
        for change in changes {
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
                self.clients.record(key, last);
            }
            self.window.push(Arc::new(Committed {
                revision,
                session: None,
                change,
                delta,
                wire: Wire::default(),
            }));
            self.trim();
            self.head = revision;
        }
        Ok(())
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

    /// Puts the commands in order and works out what they do.
    ///
    /// Commands of sessions that are not here are ignored: they have left, or were closed.
    ///
    /// # Panics
    ///
    /// When a plan is still out, or a submission needs what [`route`](Self::route) says first.
    pub fn plan(&mut self, now_ms: u64, commands: impl IntoIterator<Item = Command>) -> Plan {
        self.assert_idle();
        let mut plan = Plan {
            base: self.head,
            changes: Vec::new(),
            replies: Vec::new(),
        };
        for command in commands {
            self.take(&mut plan, now_ms, command);
        }
        plan
    }

    /// Makes a plan visible, now that its changes are durable up to `head`.
    ///
    /// # Panics
    ///
    /// When `head` is not where the plan leads.
    #[must_use]
    pub fn commit(&mut self, plan: Plan, head: Revision) -> Vec<(SessionId, Event)> {
        assert_eq!(head, self.window.head(), "a plan is committed whole");
        self.head = head;
        let mut events = plan.replies;
        if !plan.changes.is_empty() {
            let changes = Changes::new(plan.changes);
            for (id, session) in self.sessions.iter_mut() {
                if let Delivery::Live(sent) = session.delivery
                    && sent < head
                {
                    session.delivery = Delivery::Live(head);
                    events.push((
                        *id,
                        Event::Changes {
                            changes: changes.after(sent),
                            live: true,
                        },
                    ));
                }
            }
        }
        self.trim();
        if self.sessions.has_yjs() && self.milestones.is_due(head) {
            self.milestones
                .push(head, self.content.replica().state_vector());
        }
        events
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
    pub fn tick(&mut self, now_ms: u64) -> Vec<(SessionId, Event)> {
        self.assert_idle();
        let Some(update) = self.sessions.tick(&self.window, &self.content, now_ms) else {
            return Vec::new();
        };
        let update = Arc::new(update);
        let concerns = |dialect| match dialect {
            Dialect::Ot => update.concerns_positions(),
            Dialect::Yjs => !update.awareness.is_empty(),
        };
        self.sessions
            .iter_mut()
            .filter(|(_, session)| matches!(session.delivery, Delivery::Live(_)))
            .filter(|(_, session)| concerns(session.dialect))
            .map(|(id, _)| (*id, Event::Presence(Arc::clone(&update))))
            .collect()
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

    fn take(&mut self, plan: &mut Plan, now_ms: u64, command: Command) {
        match command {
            Command::Join {
                session,
                member,
                client_id,
                start,
            } => self.join(plan, now_ms, session, member, client_id, start),
            Command::Leave { session } => self.sessions.leave(session),
            Command::Submit {
                session,
                submission,
            } => {
                self.sessions.heard(session, now_ms);
                let seq = submission.seq();
                let result = self.submit(plan, now_ms, session, submission);
                reject(plan, session, seq, result);
                self.release(plan, session);
            }
            Command::Reconcile {
                session,
                reconciliation,
            } => {
                let (seq, base) = (Some(reconciliation.seq), reconciliation.base);
                let result = self.reconcile(plan, now_ms, session, *reconciliation);
                let refused = result.is_err();
                reject(plan, session, seq, result);
                if refused {
                    self.hold_again(session, base);
                    self.release(plan, session);
                }
            }
            Command::Update { session, update } => {
                self.sessions.heard(session, now_ms);
                let result = self.update(plan, now_ms, session, &update);
                reject(plan, session, None, result);
            }
            Command::Sync {
                session,
                state_vector,
            } => {
                self.sessions.heard(session, now_ms);
                self.bring(plan, session, &state_vector, true);
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
                reject(plan, session, None, result);
            }
            Command::AskPresence { session } => self.show_everyone(plan, session),
            Command::CatchUp { session, after } => {
                let waits =
                    |it: &Session| matches!(it.delivery, Delivery::Held(_) | Delivery::Reconciling);
                if !self.sessions.get(session).is_some_and(waits) {
                    self.catch_up(plan, session, after);
                }
            }
            Command::Select {
                session,
                selection,
                revision,
            } => {
                self.sessions.heard(session, now_ms);
                let result = self.select(session, selection, revision);
                reject(plan, session, None, result);
            }
            Command::Describe { session, data } => {
                self.sessions.heard(session, now_ms);
                self.sessions.describe(session, data);
            }
            Command::Heard { session } => self.sessions.heard(session, now_ms),
            Command::SetAccess { session, access } => self.set_access(plan, session, access),
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
        let Some(passed) = self.window.after(revision) else {
            return Ok(());
        };
        let moved = |at: Selection, entry: &Arc<Committed>| at.transform(&entry.delta);
        let selection = selection.map(|at| passed.fold(at, moved));
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

    fn set_access(&mut self, plan: &mut Plan, id: SessionId, access: Option<Access>) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        let dialect = session.dialect;
        let Some(access) = access else {
            self.sessions.leave(id);
            return plan.reply(id, Event::Closed(CloseReason::Forbidden));
        };
        self.sessions.set_access(id, access);
        plan.reply(id, Event::AccessChanged(access));
        if access == Access::Write && dialect == Dialect::Yjs {
            // Told what the document has, the client sends what it has besides: edits that were
            // refused, on which its next ones stand.
            let made = self.content.replica().state_vector();
            self.bring(plan, id, &made, true);
        }
    }

    /// Adds a change to the plan.
    pub(crate) fn add(
        &mut self,
        plan: &mut Plan,
        session: SessionId,
        change: Change,
        delta: Delta,
    ) -> Revision {
        let revision = self.window.head().next();
        let entry = Arc::new(Committed {
            revision,
            session: Some(session),
            change,
            delta,
            wire: Wire::default(),
        });
        self.window.push(Arc::clone(&entry));
        plan.changes.push(entry);
        revision
    }

    fn trim(&mut self) {
        self.window.trim(
            self.settings.window_changes_max,
            self.settings.window_bytes_max,
        );
    }

    pub(crate) fn assert_idle(&self) {
        assert_eq!(self.head, self.window.head(), "a plan is out");
    }
}

fn reject(plan: &mut Plan, session: SessionId, seq: Option<u64>, result: Result<(), Reject>) {
    if let Err(reject) = result {
        plan.reply(session, Event::Rejected { seq, reject });
    }
}

//! The state machine.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use motet_model::{Change, Checkpoint, ClientId, DocumentId, Revision, SessionId, limits};

use crate::{
    Access, Changes, CloseReason, Command, Committed, Event, Joined, Member, PresenceUpdate,
    Reject, Selection, Snapshot, Submission,
    checkpoint::OpenError,
    clients::{Clients, Last},
    content::{Content, ContentError},
    presence,
    session::{Delivery, Sessions},
    submission,
    window::Window,
};

/// Bounds of one document; the defaults are those of [`limits`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most changes kept in memory.
    pub window_changes_max: usize,
    /// Most bytes of changes kept in memory.
    pub window_bytes_max: usize,
    /// Most bytes of changes sent in one step of a catch-up.
    pub catch_up_bytes_max: usize,
    /// Most sessions at a time.
    pub sessions_max: usize,
    /// Most [steps](Submission::steps_to) that moving one submission to the head may take.
    pub transform_steps_max: u64,
    /// The longest that the content may be, in UTF-16 code units.
    pub len_utf16_max: usize,
    /// The largest that the content may be, as [`Content::size_bytes`] measures it.
    pub content_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window_changes_max: limits::WINDOW_CHANGES_MAX,
            window_bytes_max: limits::WINDOW_BYTES_MAX,
            catch_up_bytes_max: limits::CATCH_UP_BYTES_MAX,
            sessions_max: limits::SESSIONS_PER_DOCUMENT_MAX,
            transform_steps_max: limits::TRANSFORM_STEPS_MAX,
            len_utf16_max: limits::DOCUMENT_LEN_UTF16_MAX,
            content_bytes_max: limits::DOCUMENT_BYTES_MAX,
        }
    }
}

/// One live document.
#[derive(Debug)]
pub struct Document {
    id: DocumentId,
    settings: Settings,
    /// The revision that is durable. Content and window are ahead of it while a plan is out.
    head: Revision,
    content: Content,
    window: Window,
    clients: Clients,
    sessions: Sessions,
}

/// Changes to append, and what to tell the sessions once that is done.
///
/// A plan that is not committed leaves the document unusable: drop both and open it from the log.
#[derive(Debug)]
#[must_use = "append its changes, then commit it"]
pub struct Plan {
    base: Revision,
    changes: Vec<Arc<Committed>>,
    replies: Vec<(SessionId, Event)>,
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
        let Snapshot {
            revision,
            content,
            clients,
        } = match checkpoint {
            Some(checkpoint) => Snapshot::decode(checkpoint)?,
            None => Snapshot {
                revision: Revision::ZERO,
                content: Content::default(),
                clients: Clients::default(),
            },
        };
        Ok(Self {
            id,
            settings,
            head: revision,
            content,
            window: Window::new(revision),
            clients,
            sessions: Sessions::default(),
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
                .apply(&delta)
                .map_err(|error| OpenError::Corrupt {
                    revision,
                    detail: error.to_string(),
                })?;
            let key = (change.author, change.client_id.clone());
            self.clients.record(
                key,
                Last {
                    seq: change.seq,
                    revision,
                },
            );
            let wire = OnceLock::new();
            self.window.push(Arc::new(Committed {
                revision,
                session: None,
                change,
                delta,
                wire,
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

    /// The author's side of a submission that must be [advanced](Submission::advance) to
    /// [`window_start`](Self::window_start) before it can be planned. `None`: it can be planned as it
    /// is, be it to be refused.
    #[must_use]
    pub fn must_advance(
        &self,
        session: SessionId,
        submission: &Submission,
    ) -> Option<(motet_model::UserId, ClientId)> {
        if submission.base() >= self.window.start() || self.is_too_far_behind(submission) {
            return None;
        }
        let session = self.sessions.get(session)?;
        Some((session.member.user, session.client_id.clone()))
    }

    /// The state at the head. O(1).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.assert_idle();
        Snapshot {
            revision: self.head,
            content: self.content.clone(),
            clients: self.clients.clone(),
        }
    }

    /// Puts the commands in order and works out what they do.
    ///
    /// Commands of sessions that are not here are ignored: they have left, or were closed.
    ///
    /// # Panics
    ///
    /// When a plan is still out, or a submission [must be advanced](Self::must_advance).
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
            let changes = Changes::new(plan.changes.into());
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
        events
    }

    /// When [`tick`](Self::tick) is due next, in ms; `None` while nobody is here.
    #[must_use]
    pub fn tick_due_ms(&self) -> Option<u64> {
        self.sessions.due_ms()
    }

    /// Presence: gives up silent sessions, and tells everyone who came, moved and left.
    #[must_use]
    pub fn tick(&mut self, now_ms: u64) -> Vec<(SessionId, Event)> {
        self.assert_idle();
        let Some(update) = self.sessions.tick(&self.window, now_ms) else {
            return Vec::new();
        };
        let update = Arc::new(update);
        self.sessions
            .iter_mut()
            .filter(|(_, session)| matches!(session.delivery, Delivery::Live(_)))
            .map(|(id, _)| (*id, Event::Presence(Arc::clone(&update))))
            .collect()
    }

    /// The session's queue was full, and changes or presence for it were dropped: it is sent nothing
    /// more until it asks to catch up.
    pub fn mark_behind(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.delivery = Delivery::Behind;
        }
    }

    fn take(&mut self, plan: &mut Plan, now_ms: u64, command: Command) {
        match command {
            Command::Join {
                session,
                member,
                client_id,
                from,
            } => {
                self.join(plan, now_ms, session, member, client_id, from);
            }
            Command::Leave { session } => self.sessions.leave(session),
            Command::Submit {
                session,
                submission,
            } => {
                self.sessions.heard(session, now_ms);
                let seq = submission.seq();
                if let Err(reject) = self.submit(plan, now_ms, session, submission) {
                    plan.replies
                        .push((session, Event::Rejected { seq, reject }));
                }
            }
            Command::CatchUp { session, after } => self.catch_up(plan, session, after),
            Command::Select {
                session,
                selection,
                revision,
            } => {
                self.sessions.heard(session, now_ms);
                if let Err(reject) = self.select(session, selection, revision) {
                    plan.replies
                        .push((session, Event::Rejected { seq: None, reject }));
                }
            }
            Command::Describe { session, data } => {
                self.sessions.heard(session, now_ms);
                self.sessions.describe(session, data);
            }
            Command::Heard { session } => self.sessions.heard(session, now_ms),
            Command::SetAccess { user, access } => self.set_access(plan, user, access),
        }
    }

    fn join(
        &mut self,
        plan: &mut Plan,
        now_ms: u64,
        id: SessionId,
        member: Member,
        client_id: ClientId,
        from: Option<Revision>,
    ) {
        if from.is_some_and(|revision| revision > self.head) {
            plan.replies
                .push((id, Event::Closed(CloseReason::RevisionAhead)));
            return;
        }
        if let Some(earlier) = self.sessions.by_client(member.user, &client_id) {
            self.sessions.leave(earlier);
            plan.replies
                .push((earlier, Event::Closed(CloseReason::Replaced)));
        }
        if self.sessions.len() >= self.settings.sessions_max {
            plan.replies.push((id, Event::Closed(CloseReason::Full)));
            return;
        }
        let planned = self.window.head();
        let last = self.clients.last(&(member.user, client_id.clone()));
        let access = member.access;
        let delivery = from.map_or(Delivery::Live(planned), |_| Delivery::Behind);
        let color = self
            .sessions
            .join(id, member, client_id.clone(), delivery, now_ms);
        let joined = Joined {
            revision: from.unwrap_or(planned),
            content: from.is_none().then(|| self.content.clone()),
            client_id,
            last_seq: last.map_or(0, |last| last.seq),
            color,
            access,
            // One that resumes is at an earlier revision; when it has caught up it is sent all.
            presence: match from {
                Some(_) => Vec::new(),
                None => self.sessions.presence(&self.window, Some(id)),
            },
        };
        plan.replies.push((id, Event::Joined(Box::new(joined))));
        if let Some(after) = from {
            self.catch_up(plan, id, after);
        }
    }

    /// **once**, **harmless**.
    fn submit(
        &mut self,
        plan: &mut Plan,
        now_ms: u64,
        id: SessionId,
        mut submission: Submission,
    ) -> Result<(), Reject> {
        let Some(session) = self.sessions.get(id) else {
            return Ok(());
        };
        if session.member.access != Access::Write {
            return Err(Reject::ReadOnly);
        }
        let (author, client_id) = (session.member.user, session.client_id.clone());
        let revision = submission.base();
        if revision > self.head {
            return Err(Reject::RevisionAhead {
                revision,
                head: self.head,
            });
        }
        let key = (author, client_id);
        let last = self.clients.last(&key);
        if let Some(last) = last.filter(|last| submission.seq() == Some(last.seq)) {
            self.acknowledge_again(plan, id, last.seq, last.revision);
            return Ok(());
        }
        if self.is_too_far_behind(&submission) {
            return Err(Reject::TooFarBehind {
                base: revision,
                changes: self.window.head().since(revision),
                operations: submission.delta().ops().len(),
            });
        }
        let passed = self.window.after(submission.base());
        for entry in passed.expect("the caller advances a submission to the window") {
            submission.pass(author, &key.1, &entry.change, &entry.delta);
        }
        let last_seq = last.map_or(0, |last| last.seq);
        let seq = submission.seq().unwrap_or(last_seq + 1);
        if let Some(revision) = submission.committed_as() {
            self.acknowledge_again(plan, id, seq, revision);
            return Ok(());
        }
        if seq <= last_seq {
            return Err(Reject::SeqReused {
                seq,
                last: last_seq,
            });
        }
        self.apply(&submission)?;

        let revision = self.window.head().next();
        self.sessions
            .typed(id, presence::caret_after(submission.delta()), revision);
        let delta = submission.into_delta();
        let change = Change {
            author,
            client_id: key.1.clone(),
            seq,
            time_ms: now_ms,
            delta: Bytes::from(delta.to_json()),
            update: Bytes::new(),
        };
        self.clients.record(key, Last { seq, revision });
        let wire = OnceLock::new();
        let entry = Arc::new(Committed {
            revision,
            session: Some(id),
            change,
            delta,
            wire,
        });
        self.window.push(Arc::clone(&entry));
        plan.changes.push(entry);
        Ok(())
    }

    /// Moving it to the head would cost more than one submission may.
    fn is_too_far_behind(&self, submission: &Submission) -> bool {
        submission.steps_to(self.window.head()) > self.settings.transform_steps_max
    }

    /// A session that is still catching up finds the acknowledgement in its place among the changes;
    /// one that is live has passed it.
    fn acknowledge_again(&self, plan: &mut Plan, id: SessionId, seq: u64, revision: Revision) {
        let live = |delivery| matches!(delivery, Delivery::Live(sent) if sent >= revision);
        if self
            .sessions
            .get(id)
            .is_some_and(|session| live(session.delivery))
        {
            plan.replies
                .push((id, Event::Acknowledged { seq, revision }));
        }
    }

    /// Applies a submission that stands on the planned head, or changes nothing.
    fn apply(&mut self, submission: &Submission) -> Result<(), Reject> {
        let len_utf16 = self.content.len_utf16();
        if submission.extent_utf16() > len_utf16 {
            return Err(Reject::OutOfRange {
                position: submission.extent_utf16(),
                len_utf16,
            });
        }
        let delta = submission.delta();
        let grown = len_utf16.saturating_add_signed(delta.len_change());
        if grown > self.settings.len_utf16_max && delta.len_change() > 0 {
            return Err(Reject::DocumentTooLarge {
                max: self.settings.len_utf16_max,
                unit: "UTF-16 units",
            });
        }
        let applied = (self.content).apply_within(delta, self.settings.content_bytes_max);
        applied.map_err(|error| match error {
            ContentError::OutOfRange {
                position,
                len_utf16,
            } => Reject::OutOfRange {
                position,
                len_utf16,
            },
            ContentError::SplitSurrogate { position } => Reject::SplitSurrogate { position },
            ContentError::TooLarge { bytes_max } => Reject::DocumentTooLarge {
                max: bytes_max,
                unit: "bytes",
            },
        })
    }

    /// **in order**: sends what is in memory after `after`, up to a bound, or says where to find it.
    fn catch_up(&mut self, plan: &mut Plan, id: SessionId, after: Revision) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let Some(missed) = self.window.after(after) else {
            let through = self.window.start();
            plan.replies.push((id, Event::ReadLog { after, through }));
            return;
        };
        let mut budget = self.settings.catch_up_bytes_max;
        let mut changes = Vec::with_capacity(missed.len());
        for entry in missed {
            let len = entry.change.delta.len();
            if len > budget && !changes.is_empty() {
                break;
            }
            budget = budget.saturating_sub(len);
            changes.push(Arc::clone(entry));
        }
        let sent = changes.last().map_or(after, |entry| entry.revision);
        let live = sent >= self.window.head();
        session.delivery = if live {
            Delivery::Live(sent)
        } else {
            Delivery::Behind
        };
        let changes = Changes::new(changes.into());
        plan.replies.push((id, Event::Changes { changes, live }));
        if live {
            // Updates were withheld meanwhile.
            let joined = self.sessions.presence(&self.window, None);
            let update = PresenceUpdate {
                reset: true,
                joined,
                ..PresenceUpdate::default()
            };
            plan.replies.push((id, Event::Presence(Arc::new(update))));
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
        let selection = selection.map(|at| passed.fold(at, |at, entry| at.transform(&entry.delta)));
        let len_utf16 = self.content.len_utf16();
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

    fn set_access(&mut self, plan: &mut Plan, user: motet_model::UserId, access: Option<Access>) {
        for id in self.sessions.of_user(user) {
            let event = if let Some(access) = access {
                self.sessions.set_access(id, access);
                Event::AccessChanged(access)
            } else {
                self.sessions.leave(id);
                Event::Closed(CloseReason::Forbidden)
            };
            plan.replies.push((id, event));
        }
    }

    fn trim(&mut self) {
        self.window.trim(
            self.settings.window_changes_max,
            self.settings.window_bytes_max,
        );
    }

    fn assert_idle(&self) {
        assert_eq!(self.head, self.window.head(), "a plan is out");
    }
}

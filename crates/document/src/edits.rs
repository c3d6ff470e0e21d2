//! What sessions change: by positions, by identities, and by both.

use std::sync::Arc;

use bytes::Bytes;
use motet_model::{Change, ClientId, Revision, SessionId, UserId};
use motet_ot::Delta;

use crate::{
    Access, Document, Event, Events, Plan, Reconciliation, Reject, Submission,
    clients::Last,
    content::{ContentError, NO_UPDATE, text::TextError},
    plan::Outcome,
    reconciliation::ReconciliationResult,
    session::Delivery,
};

/// What a submission needs before it can be planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Nothing.
    Plan,
    /// It must be [advanced](Submission::advance) to [`window_start`](Document::window_start), as this
    /// author's.
    Advance(UserId, ClientId),
    /// It must be [reconciled](Reconciliation), as this author's, and planned as
    /// [`Command::Reconcile`](crate::Command::Reconcile) then.
    Reconcile(UserId, ClientId),
}

/// Where a change comes from.
struct Source {
    author: UserId,
    client_id: ClientId,
    /// 0 for an edit by identities.
    seq: u64,
    merged: bool,
}

impl Document {
    /// Whether a submission cannot just be planned, whoever sends it: [`route`](Self::route) says what it
    /// needs.
    #[must_use]
    pub fn is_far(&self, submission: &Submission) -> bool {
        submission.base() < self.window.start() || self.is_too_far_behind(submission)
    }

    /// What a submission needs before it can be planned, be it to be refused. The one that is told to
    /// reconcile is taken at its word: another submission of the session is refused until then.
    pub fn route(&mut self, id: SessionId, submission: &Submission) -> Route {
        let (is_far, is_costly) = (self.is_far(submission), self.is_too_far_behind(submission));
        let Some(session) = self.sessions.get(id) else {
            return Route::Plan;
        };
        let (author, client_id) = (session.member.user, session.client_id.clone());
        let delivery = session.delivery;
        if session.member.access != Access::Write
            || delivery == Delivery::Reconciling
            || submission.is_only_on_head()
        {
            return Route::Plan;
        }
        if delivery == Delivery::Held(submission.base())
            && submission.seq().is_some()
            && !(session.hidden && submission.delta().is_empty())
            && (is_far || self.was_merged(submission, author, &client_id))
        {
            if let Some(session) = self.sessions.get_mut(id) {
                session.delivery = Delivery::Reconciling;
            }
            return Route::Reconcile(author, client_id);
        }
        let last = self.clients.last(&(author, client_id.clone()));
        let is_known = last.is_some_and(|last| Some(last.seq) == submission.seq());
        if !is_far || is_costly || is_known {
            Route::Plan
        } else {
            Route::Advance(author, client_id)
        }
    }

    /// Whether a submission is in the window already, and was reconciled to get there.
    fn was_merged(&self, submission: &Submission, author: UserId, client_id: &ClientId) -> bool {
        let mut later = self.window.after(submission.base()).into_iter().flatten();
        let found = later.find(|entry| submission.is(author, client_id, &entry.change));
        found.is_some_and(|entry| entry.change.merged)
    }

    /// **once**, **harmless**.
    pub(crate) fn submit(
        &mut self,
        plan: &mut Plan,
        id: SessionId,
        mut submission: Submission,
    ) -> Result<Outcome, Reject> {
        let access = plan.access(&self.sessions, id);
        let (Some(session), Some(access)) = (self.sessions.get(id), access) else {
            return Ok(Outcome::Planned);
        };
        if access != Access::Write {
            return Err(Reject::ReadOnly);
        }
        let is_reconciling = session.delivery == Delivery::Reconciling;
        let is_hidden = session.hidden;
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
            return Ok(self.acknowledge_again(id, last.seq, last.revision));
        }
        if submission.is_only_on_head() && revision < self.window.head() {
            return Err(Reject::Outdated {
                base: revision,
                head: self.window.head(),
            });
        }
        if is_reconciling || self.is_too_far_behind(&submission) {
            return Err(Reject::TooFarBehind {
                base: revision,
                changes: self.window.head().since(revision),
                operations: submission.delta().ops().len(),
            });
        }
        let passed = self.window.passed_after(submission.base());
        let passed = passed.expect("the caller advances a submission to the window");
        submission.pass(author, &key.1, passed);
        let last_seq = last.map_or(0, |last| last.seq);
        let seq = submission.seq().unwrap_or(last_seq + 1);
        if let Some(revision) = submission.committed_as() {
            return Ok(self.acknowledge_again(id, seq, revision));
        }
        if seq <= last_seq {
            return Err(Reject::SeqReused {
                seq,
                last: last_seq,
            });
        }
        let len_utf16 = self.content.text().len_utf16();
        if submission.extent_utf16() > len_utf16 {
            return Err(ContentError::Text(TextError::OutOfRange {
                position: submission.extent_utf16(),
                len_utf16,
            })
            .into());
        }
        // An edit of nothing, or of what others have done already, is a change all the same: that it is in
        // the log is how its client learns what became of it, also after a restart. Whoever is here for one
        // edit never asks again, and needs none.
        if is_hidden && submission.delta().is_empty() {
            return Ok(Outcome::Acknowledged(seq, self.window.head()));
        }
        let bounds = self.settings.bounds();
        let update = self.content.edit(submission.delta(), &bounds)?;
        let delta = submission.into_delta();
        let (author, client_id) = key;
        let source = Source {
            author,
            client_id,
            seq,
            merged: false,
        };
        self.record(plan, id, source, delta, update);
        Ok(Outcome::Planned)
    }

    /// About how long planning a submission takes, in steps of a delta at several places. One at one place passes
    /// changes of its kind in no time, and is transformed for every other. O(log n)
    #[must_use]
    pub fn work(&self, submission: &Submission) -> u64 {
        const SPLICES_PER_STEP: u64 = 32;
        let (changes, operations) = self.window.scattered_after(submission.base());
        // It becomes a change itself.
        let steps = submission.steps_to(self.window.head().next());
        if !submission.is_splice() {
            return steps.saturating_add(operations);
        }
        let own = changes.saturating_mul(submission.delta().ops().len() as u64);
        (steps / SPLICES_PER_STEP + operations).saturating_add(own)
    }

    /// Moving it to the head would cost more than one submission may.
    fn is_too_far_behind(&self, submission: &Submission) -> bool {
        submission.steps_to(self.window.head()) > self.settings.transform_steps_max
    }

    /// A session that is still catching up finds the acknowledgement in its place among the changes, and so
    /// does one that is sent the change with this plan; one that is live has passed it.
    fn acknowledge_again(&self, id: SessionId, seq: u64, revision: Revision) -> Outcome {
        let live = |delivery| matches!(delivery, Delivery::Live(sent) if sent >= revision);
        if self
            .sessions
            .get(id)
            .is_some_and(|session| live(session.delivery))
        {
            Outcome::Acknowledged(seq, revision)
        } else {
            Outcome::Planned
        }
    }

    /// **once**, **harmless**: an update holds what it makes by its identity, so what is here already is
    /// not made again.
    pub(crate) fn update(
        &mut self,
        plan: &mut Plan,
        id: SessionId,
        update: &[u8],
    ) -> Result<Outcome, Reject> {
        let access = plan.access(&self.sessions, id);
        let (Some(session), Some(access)) = (self.sessions.get(id), access) else {
            return Ok(Outcome::Planned);
        };
        let source = Source {
            author: session.member.user,
            client_id: session.client_id.clone(),
            seq: 0,
            merged: false,
        };
        let may_write = access == Access::Write;
        if !may_write && self.content.brings_news(update)? {
            return Err(Reject::ReadOnly);
        }
        if may_write && let Some(merged) = self.content.merge(update, &self.settings.bounds())? {
            let delta = Arc::new(merged.delta);
            self.record(plan, id, source, delta, merged.update);
        }
        Ok(Outcome::Stored)
    }

    /// **once**, **harmless**.
    pub(crate) fn reconcile(
        &mut self,
        plan: &mut Plan,
        id: SessionId,
        reconciliation: &mut Reconciliation,
    ) -> Result<Outcome, Reject> {
        let Reconciliation { base, seq, result } = reconciliation;
        let access = plan.access(&self.sessions, id);
        let (Some(session), Some(access)) = (self.sessions.get(id), access) else {
            return Ok(Outcome::Planned);
        };
        if access != Access::Write {
            return Err(Reject::ReadOnly);
        }
        let key = (session.member.user, session.client_id.clone());
        let (seq, last) = (*seq, self.clients.last(&key).map_or(0, |last| last.seq));
        let (content, update) = match result {
            ReconciliationResult::Made(content, update) => (content, update),
            ReconciliationResult::Moved | ReconciliationResult::Merged(..) => {
                return Ok(Outcome::Planned);
            }
            ReconciliationResult::Rejected(reject) => return Err(*reject),
        };
        if seq < last {
            return Err(Reject::SeqReused { seq, last });
        }
        if seq == last || self.content.is_taken(update)? {
            // Asked for once more, it is found in the log, where another node has appended it meanwhile; or
            // it is made under another client.
            return Err(Reject::TooFarBehind {
                base: *base,
                changes: self.window.head().since(*base),
                operations: 0,
            });
        }
        let merged = self.content.merge_own(update, &self.settings.bounds())?;
        let (delta, update) = merged.map_or_else(
            || (Delta::new(), NO_UPDATE),
            |merged| (merged.delta, merged.update),
        );
        // The content has changed already: from here on there is no way back.
        let operation = content.lead_to(&self.content);
        let operation = operation.expect("an update that was made here can be read");
        let (author, client_id) = key;
        let source = Source {
            author,
            client_id,
            seq,
            merged: true,
        };
        let revision = self.record(plan, id, source, Arc::new(delta), update);
        Ok(Outcome::Merged(revision, Arc::new(operation)))
    }

    /// A submission that was to be reconciled was found in the log: its session goes on from there.
    pub(crate) fn found(
        &mut self,
        events: &mut Events,
        id: SessionId,
        reconciliation: Reconciliation,
    ) {
        let Reconciliation { base, seq, result } = reconciliation;
        match result {
            // Its acknowledgement comes in its place among the changes.
            ReconciliationResult::Moved => self.catch_up(events, id, base),
            ReconciliationResult::Merged(revision, operation) => {
                let event = Event::Reconciled {
                    seq,
                    revision,
                    operation,
                };
                events.push((id, event));
                self.catch_up(events, id, revision);
            }
            ReconciliationResult::Made(..) | ReconciliationResult::Rejected(_) => {}
        }
    }

    /// A reconciliation was refused: the session goes on from its base.
    pub(crate) fn hold_again(&mut self, id: SessionId, base: Revision) {
        if let Some(session) = self.sessions.get_mut(id)
            && session.delivery == Delivery::Reconciling
        {
            session.delivery = Delivery::Held(base);
        }
    }

    /// Makes a change of nothing: from here on the client is at this node.
    pub(crate) fn mark(&mut self, plan: &mut Plan, author: UserId, client_id: ClientId) {
        let delta = Arc::new(Delta::new());
        let change = Change {
            author,
            client_id,
            seq: 0,
            merged: false,
            time_ms: plan.now_ms,
            delta: Bytes::from(delta.to_json()),
            update: NO_UPDATE,
        };
        self.add(plan, None, change, delta);
    }

    /// Makes a change of what the content has taken.
    fn record(
        &mut self,
        plan: &mut Plan,
        id: SessionId,
        Source {
            author,
            client_id,
            seq,
            merged,
        }: Source,
        delta: Arc<Delta>,
        update: Bytes,
    ) -> Revision {
        let change = Change {
            author,
            client_id: client_id.clone(),
            seq,
            merged,
            time_ms: plan.now_ms,
            delta: Bytes::from(delta.to_json()),
            update,
        };
        let revision = self.add(plan, Some(id), change, delta);
        if seq > 0 {
            let last = Last { seq, revision };
            let replaced = self.clients.record((author, client_id), last);
            plan.replaced.push(replaced);
        }
        revision
    }
}

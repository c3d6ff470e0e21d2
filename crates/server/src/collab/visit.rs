//! What the audit trail is told of a session: that it opened its document or was refused, and, when it is
//! over, what it has changed.

use std::sync::Arc;

use motet_catalog::{Actor, AuditAction, Entry, Role};
use motet_model::{Clock, DocumentId, Revision, SessionId};
use motet_protocol::ErrorCode;
use serde_json::json;

use crate::{
    audit::{Auditor, Place},
    auth::Principal,
    entropy,
};

/// One session on one document. It lies with the document's room, which knows of every change before
/// anybody else; dropped, the session is over, whichever way.
pub(crate) struct Visit {
    pub(super) auditor: Auditor,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) principal: Arc<Principal>,
    /// The network address of the client.
    pub(super) address: Arc<str>,
    pub(super) document: DocumentId,
    pub(super) session: SessionId,
    pub(super) role: Role,
    pub(super) dialect: &'static str,
    pub(super) stage: Stage,
    pub(super) changes: u64,
    /// The first and the last of its changes.
    pub(super) span: Option<(Revision, Revision)>,
}

/// How far it has come.
pub(crate) enum Stage {
    /// It is not in yet, and has a place in the queue for what comes of it.
    Knocking(Place),
    Open,
    Over,
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit")
            .field("document", &self.document)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

impl Visit {
    /// The document has let it in.
    pub(super) fn open(&mut self) {
        if let Some(place) = self.enter(Stage::Open) {
            let details = json!({
                "session": self.session.to_string(), "dialect": self.dialect,
                "role": self.role.as_str(),
            });
            self.note(Some(place), AuditAction::DocumentOpened, details);
        }
    }

    /// It has not let it in. A server that is away for a moment refuses nobody.
    pub(super) fn refuse(&mut self, code: ErrorCode) {
        if code != ErrorCode::Unavailable
            && let Some(place) = self.enter(Stage::Over)
        {
            let details = json!({ "dialect": self.dialect, "reason": code.as_str() });
            self.note(Some(place), AuditAction::DocumentRefused, details);
        }
    }

    /// The next stage of one who knocks, and the place in the queue to note it at.
    fn enter(&mut self, stage: Stage) -> Option<Place> {
        if !matches!(self.stage, Stage::Knocking(_)) {
            return None;
        }
        match std::mem::replace(&mut self.stage, stage) {
            Stage::Knocking(place) => Some(place),
            Stage::Open | Stage::Over => None,
        }
    }

    /// One of its changes is stored.
    pub(super) fn changed(&mut self, revision: Revision) {
        self.changes += 1;
        let first = self.span.map_or(revision, |(first, _)| first);
        self.span = Some((first, revision));
    }

    fn note(&self, place: Option<Place>, action: AuditAction, details: serde_json::Value) {
        let actor = Actor {
            user: Some(self.principal.user),
            organization: self.principal.organization,
            address: self.address.to_string(),
            nonce: entropy::bytes(),
            at_ms: self.clock.now_ms(),
        };
        let entry = Entry::new(action).document(self.document);
        self.auditor.note_at(place, actor, entry.details(details));
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Open) {
            let (first, last) = self.span.unzip();
            let details = json!({
                "session": self.session.to_string(), "changes": self.changes,
                "firstRevision": first, "lastRevision": last,
            });
            self.note(None, AuditAction::DocumentClosed, details);
        }
    }
}

//! The live sessions of a node, and what becomes of them when rights change.
//!
//! Whatever changes rights says whom or what it affects; the sessions concerned are then asked about
//! again.
//!
//! # Invariants
//!
//! - **last**: what the catalog said last counts in the end. Of one session it is asked by one at a time,
//!   and whoever waits for a turn need not ask if that was after their change.
//! - **apart**: no session waits for the room, the client or the change of another; only the catalog is
//!   everybody's.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use motet_catalog::{Rights, Role};
use motet_document::Access;
use motet_model::{DocumentId, OrganizationId, SessionId, UserId};
use motet_protocol::ErrorCode;
use tokio::{sync::Notify, time::sleep};

use super::{Collab, session::Session, verdicts::Verdict};
use crate::auth::{Action, AuthorizationError, Principal};

/// How many sessions a change of rights asks about at a time: others use the catalog as well.
const ASKED_AT_ONCE: usize = 4;

/// Whose sessions a change of rights may concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affected {
    /// Those on a document.
    Document(DocumentId),
    /// Those of an account.
    User(UserId),
    /// Those of everyone in an organization.
    Organization(OrganizationId),
    /// All.
    Everyone,
}

/// A live session as others may see it.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// Its id.
    pub id: SessionId,
    /// What it is on.
    pub document: DocumentId,
    /// Who.
    pub principal: Arc<Principal>,
    /// What it may do.
    pub role: Role,
    /// What its client speaks: `ot`, `yjs` or `hocuspocus`.
    pub dialect: &'static str,
    /// From where.
    pub address: Arc<str>,
    /// Since when.
    pub since_ms: u64,
}

/// Who is here.
#[derive(Debug, Default)]
pub(crate) struct Live {
    sessions: Mutex<HashMap<SessionId, Weak<Session>>>,
    /// When rights on documents end by themselves: as many as there are links, however many come by them.
    ends: Mutex<BTreeSet<(u64, DocumentId)>>,
    /// An earlier end than before is known.
    sooner: Notify,
    /// Counts changes of rights, so that it can be told whether one came after a question.
    epoch: AtomicU64,
}

impl Live {
    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Weak<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> MutexGuard<'_, BTreeSet<(u64, DocumentId)>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// One more change; returns its number.
    fn changed(&self) -> u64 {
        self.epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn add(&self, session: &Arc<Session>) {
        let weak = Arc::downgrade(session);
        self.sessions().insert(session.id, weak);
    }

    pub(crate) fn remove(&self, id: SessionId) {
        self.sessions().remove(&id);
    }

    fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.sessions().get(&id)?.upgrade()
    }

    fn list(&self, wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        // Not dropped under the lock: a session's end takes it too.
        let all: Vec<_> = self.sessions().values().filter_map(Weak::upgrade).collect();
        all.into_iter().filter(|session| wanted(session)).collect()
    }

    /// Somebody's rights on the document end at this time, unless they change.
    fn ends_at(&self, until_ms: Option<u64>, document: DocumentId) {
        if let Some(until_ms) = until_ms
            && self.ends().insert((until_ms, document))
        {
            self.sooner.notify_one();
        }
    }

    /// When the next rights end, if any do.
    fn next_end(&self) -> Option<u64> {
        self.ends().first().map(|(until_ms, _)| *until_ms)
    }

    /// The documents on which somebody's rights have ended.
    fn take_ended(&self, now_ms: u64) -> Vec<DocumentId> {
        let first = DocumentId::from_bytes([0; 16]);
        let mut ends = self.ends();
        let later = ends.split_off(&(now_ms + 1, first));
        let ended = std::mem::replace(&mut *ends, later);
        ended.into_iter().map(|(_, document)| document).collect()
    }
}

impl Affected {
    fn is(self, session: &Session) -> bool {
        match self {
            Self::Document(id) => session.document == id,
            Self::User(id) => session.user == id,
            Self::Organization(id) => session.principal().organization == id,
            Self::Everyone => true,
        }
    }
}

impl Collab {
    /// Rights were changed, and the catalog says so already: live sessions get what they have now.
    /// Once this returns they count before whatever a session says, and those without any are over.
    pub async fn rights_changed(&self, affected: Affected) {
        let change = self.live.changed();
        let sessions = self.live.list(|session| affected.is(session));
        let asking =
            stream::iter(sessions).for_each_concurrent(ASKED_AT_ONCE, |session| async move {
                self.ask_again(&session, change).await;
            });
        asking.await;
    }

    /// These sessions' client has shown another credential.
    pub(super) async fn renewed(
        &self,
        sessions: impl IntoIterator<Item = Arc<Session>>,
        principal: &Arc<Principal>,
    ) {
        for session in sessions {
            let before = session.principal();
            session.renew(Arc::clone(principal));
            // What another credential comes from may have ended while it was looked at, when the session did
            // not have it yet.
            let is_another = before.credential.source() != principal.credential.source();
            if is_another || before.scopes != principal.scopes {
                self.ask_again(&session, self.live.changed()).await;
            }
        }
    }

    /// The live sessions that are `wanted`.
    pub fn live_sessions(&self, wanted: impl Fn(&LiveSession) -> bool) -> Vec<LiveSession> {
        let all = self.live.list(|_| true);
        let described = all.iter().map(|session| session.describe());
        described.filter(|session| wanted(session)).collect()
    }

    /// Ends a session, as if its rights had been taken away. Whether there was one.
    pub fn end_session(&self, id: SessionId) -> bool {
        match self.live.get(id) {
            Some(session) => {
                session.cut(ErrorCode::Forbidden);
                true
            }
            None => false,
        }
    }

    /// Rights were looked up for a session that has joined since: asks again if they may have changed.
    pub(super) async fn joined(&self, session: &Arc<Session>, rights: Rights) {
        self.live.ends_at(rights.until_ms, session.document);
        self.ask_again(session, self.live.epoch()).await;
    }

    /// Watches over rights that end by themselves, for as long as there is a server.
    pub(super) async fn watch_ends(self: Arc<Self>) {
        loop {
            let wait_ms = self
                .live
                .next_end()
                .map(|end_ms| end_ms.saturating_sub(self.now_ms()));
            let ended = async {
                match wait_ms {
                    Some(wait_ms) => sleep(Duration::from_millis(wait_ms)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ended => {}
                () = self.live.sooner.notified() => continue,
            }
            for document in self.live.take_ended(self.now_ms()) {
                self.rights_changed(Affected::Document(document)).await;
            }
        }
    }

    /// Lets a session have the rights that it has after this change.
    async fn ask_again(&self, session: &Arc<Session>, change: u64) {
        let mut asked = session.asked.lock().await;
        if *asked >= change {
            return;
        }
        *asked = self.live.epoch();
        let before = session.principal();
        let principal = match self.readmit(&before).await {
            Ok(principal) => Arc::new(principal),
            // Whoever cannot be asked about comes back, and is asked about then.
            Err(code) => return session.cut(code),
        };
        let rights = self
            .authority
            .authorize(&principal, Action::Read, session.document);
        match rights.await {
            Ok(rights) => {
                self.live.ends_at(rights.until_ms, session.document);
                session.reread(&before, principal);
                if session.set_role(rights.role) != rights.role {
                    session.pass(Verdict::Access(access(rights.role)));
                }
            }
            Err(AuthorizationError::Unavailable(error)) => {
                tracing::error!(document = %session.document, %error, "rights could not be read");
                session.cut(ErrorCode::Unavailable);
            }
            Err(_) => session.cut(ErrorCode::Forbidden),
        }
    }
}

/// What a role is to a document.
pub(super) fn access(role: Role) -> Access {
    if role >= Role::Editor {
        Access::Write
    } else {
        Access::Read
    }
}

#[cfg(test)]
mod tests;

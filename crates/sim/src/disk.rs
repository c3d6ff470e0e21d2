//! What survives a crash, and what a server makes of it.

use motet_crdt::{Client, IdSet, StateVector};
use motet_document::{Command, Document, Reconciliation, Route, Settings, content::ROOT};
use motet_model::{Change, Checkpoint, DocumentId, Revision, SessionId};
use motet_ot::Delta;

/// The one document that there is.
const ID: DocumentId = DocumentId::from_bytes([1; 16]);

/// What the disk holds.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) log: Vec<Change>,
    pub(crate) checkpoint: Option<Checkpoint>,
}

/// All that a document knows, whatever way it came to that.
fn known(document: &Document) -> (Delta, StateVector, IdSet) {
    let replica = document.content().replica();
    (
        replica.to_delta(ROOT),
        replica.state_vector(),
        replica.deleted(),
    )
}

/// How a command was made ready to be planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As it came.
    Asis,
    /// It was moved over changes of the log.
    Advanced,
    /// It was made at its base, to be merged by its identities.
    Reconciled,
    /// It was found in the log, where it had been reconciled or moved before.
    Found,
}

impl Disk {
    /// Opens the document, as a server does.
    pub(crate) fn open(&self, settings: &Settings) -> Result<Document, String> {
        self.rebuild(settings, self.head())
    }

    /// The document as it was at a revision.
    pub(crate) fn rebuild(&self, settings: &Settings, at: Revision) -> Result<Document, String> {
        let checkpoint = self.checkpoint.as_ref().filter(|it| it.revision <= at);
        self.replay(settings, checkpoint, at)
    }

    /// The document as its log alone makes it.
    fn replay_all(&self, settings: &Settings) -> Result<Document, String> {
        self.replay(settings, None, self.head())
    }

    fn replay(
        &self,
        settings: &Settings,
        checkpoint: Option<&Checkpoint>,
        at: Revision,
    ) -> Result<Document, String> {
        let mut document =
            Document::open(ID, checkpoint, settings.clone()).map_err(|error| error.to_string())?;
        let changes = self.slice(document.head(), at).to_vec();
        let replayed = document.replay(changes);
        replayed.map_err(|error| error.to_string())?;
        Ok(document)
    }

    pub(crate) fn head(&self) -> Revision {
        Revision::new(self.log.len() as u64)
    }

    /// Appends a plan's changes, if nobody was first. Otherwise returns whether they are there already, by an
    /// attempt of which it was not known.
    pub(crate) fn append(&mut self, base: Revision, changes: &[Change]) -> Result<(), bool> {
        if base != self.head() {
            let found = self.slice(base, self.head());
            return Err(found.starts_with(changes));
        }
        self.log.extend_from_slice(changes);
        Ok(())
    }

    /// The changes after one revision, up to another.
    pub(crate) fn slice(&self, after: Revision, through: Revision) -> &[Change] {
        let place = |revision: Revision| usize::try_from(revision.get()).unwrap_or(usize::MAX);
        &self.log[place(after)..place(through)]
    }

    /// Checks that `document` is what the log makes, alone and after the checkpoint.
    pub(crate) fn check(&self, settings: &Settings, document: &Document) -> Result<(), String> {
        let mut others = vec![("its log", self.replay_all(settings)?)];
        if self.checkpoint.is_some() {
            others.push(("its checkpoint", self.open(settings)?));
        }
        let here = known(document);
        for (how, other) in others {
            other.content().assert_invariants();
            let there = known(&other);
            if there != here {
                return Err(format!(
                    "made from {how} the document is {there:?}, not {here:?}"
                ));
            }
        }
        Ok(())
    }

    /// What a submission from before the window needs.
    pub(crate) fn prepare(
        &self,
        document: &mut Document,
        settings: &Settings,
        command: Command,
    ) -> Result<(Command, Way), String> {
        let Command::Submit {
            session,
            mut submission,
        } = command
        else {
            return Ok((command, Way::Asis));
        };
        let (author, client_id) = match document.route(session, &submission) {
            Route::Plan => {
                let command = Command::Submit {
                    session,
                    submission,
                };
                return Ok((command, Way::Asis));
            }
            Route::Advance(author, client_id) => {
                let changes = self.slice(submission.base(), document.window_start());
                let advanced = submission.advance(author, &client_id, changes);
                advanced.map_err(|error| error.to_string())?;
                let command = Command::Submit {
                    session,
                    submission,
                };
                return Ok((command, Way::Advanced));
            }
            Route::Reconcile(author, client_id) => (author, client_id),
        };
        let base = submission.base();
        let later = self.slice(base, self.head());
        let found = later
            .iter()
            .position(|it| submission.is(author, &client_id, it));
        let (reconciliation, way) = match found {
            Some(at) if later[at].merged => {
                let committed = self.rebuild(settings, base.plus(at as u64 + 1))?;
                let base = self.rebuild(settings, base)?;
                let merged = Reconciliation::merged(base, committed, submission, &later[at]);
                (merged.map_err(|error| error.to_string())?, Way::Found)
            }
            Some(_) => (Reconciliation::moved(submission), Way::Found),
            None => {
                let base = self.rebuild(settings, base)?;
                let made = Reconciliation::new(base, submission, client_of(session));
                (made, Way::Reconciled)
            }
        };
        let reconciliation = Box::new(reconciliation);
        let command = Command::Reconcile {
            session,
            reconciliation,
        };
        Ok((command, way))
    }
}

/// A server draws it; here the seed has to tell all.
fn client_of(session: SessionId) -> Client {
    let [.., a, b, c, d, e, f] = session.to_bytes();
    (1 << 49) | u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

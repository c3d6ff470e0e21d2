//! A document, and those who edit it by positions and by identities.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod net;

use bytes::Bytes;
use motet_crdt::StateVector;
use motet_document::{
    Access, Command, Document, Event, Member, Reconciliation, Reject, Route, Settings, Start,
    Submission, content::ROOT,
};
use motet_model::{Change, ClientId, DocumentId, Revision, SessionId, UserId};
use motet_ot::{Delta, decode};

pub(crate) const ID: DocumentId = DocumentId::from_bytes([1; 16]);

pub(crate) fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n; 16])
}

pub(crate) fn client(n: u8) -> ClientId {
    format!("client-{n}").parse().unwrap()
}

pub(crate) fn open(log: &[Change], settings: &Settings) -> Document {
    let mut document = Document::open(ID, None, settings.clone()).unwrap();
    document.replay(log.to_vec()).unwrap();
    document
}

/// A document with the log that it would have.
pub(crate) struct Bench {
    pub(crate) document: Document,
    pub(crate) settings: Settings,
    pub(crate) log: Vec<Change>,
    pub(crate) now_ms: u64,
}

impl Bench {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            document: Document::open(ID, None, settings.clone()).unwrap(),
            settings,
            log: Vec::new(),
            now_ms: 1_700_000_000_000,
        }
    }

    pub(crate) fn run(&mut self, commands: Vec<Command>) -> Vec<(SessionId, Event)> {
        let (mut events, plan) = self.document.plan(self.now_ms, commands);
        self.log.extend(plan.changes());
        let head = Revision::new(self.log.len() as u64);
        events.extend(self.document.commit(plan, head));
        self.document.content().assert_invariants();
        events
    }

    pub(crate) fn join(&mut self, n: u8, access: Access, start: Start) -> Vec<(SessionId, Event)> {
        let member = Member {
            user: UserId::from_bytes([n; 16]),
            name: format!("User {n}").into(),
            color: None,
            access,
        };
        self.run(vec![Command::Join {
            session: session(n),
            member,
            client_id: client(n),
            start,
        }])
    }

    pub(crate) fn submit(
        &mut self,
        n: u8,
        seq: u64,
        base: u64,
        delta: &Delta,
    ) -> Vec<(SessionId, Event)> {
        let submission = submission(seq, base, delta);
        self.run(vec![Command::Submit {
            session: session(n),
            submission,
        }])
    }

    pub(crate) fn update(&mut self, n: u8, update: Vec<u8>) -> Vec<(SessionId, Event)> {
        self.run(vec![Command::Update {
            session: session(n),
            update: update.into(),
        }])
    }

    pub(crate) fn text(&self) -> String {
        self.document.content().replica().text(ROOT)
    }
}

pub(crate) fn submission(seq: u64, base: u64, delta: &Delta) -> Submission {
    let decoded = decode(delta.to_json().as_bytes()).unwrap();
    Submission::new(Revision::new(base), seq, decoded)
}

/// All that a document knows, whatever way it came to that.
pub(crate) fn known(document: &Document) -> (Delta, StateVector, motet_crdt::IdSet) {
    let replica = document.content().replica();
    (
        replica.to_delta(ROOT),
        replica.state_vector(),
        replica.deleted(),
    )
}

/// The updates of the changes that a session was sent.
pub(crate) fn updates(events: &[(SessionId, Event)], n: u8) -> Vec<Bytes> {
    let of = events.iter().filter(|(id, _)| *id == session(n));
    of.flat_map(|(_, event)| match event {
        Event::Changes { changes, .. } => {
            changes.iter().map(|it| it.change.update.clone()).collect()
        }
        Event::Missing { update, .. } => vec![update.clone()],
        _ => Vec::new(),
    })
    .collect()
}

pub(crate) fn rejected(events: &[(SessionId, Event)]) -> Option<Reject> {
    events.iter().find_map(|(_, event)| match event {
        Event::Rejected { reject, .. } => Some(*reject),
        _ => None,
    })
}

pub(crate) fn typed(at: usize, text: &str) -> Delta {
    Delta::new().retain(at).insert(text)
}
/// A submission goes through a rebuilt base; returns its session's events.
pub(crate) fn reconcile(
    bench: &mut Bench,
    n: u8,
    submission: Submission,
) -> Vec<(SessionId, Event)> {
    let route = bench.document.route(session(n), &submission);
    let Route::Reconcile(author, client_id) = route else {
        panic!("{route:?}")
    };
    let place = |revision: Revision| usize::try_from(revision.get()).unwrap();
    let base = open(&bench.log[..place(submission.base())], &bench.settings);
    let later = &bench.log[place(submission.base())..];
    let at = later
        .iter()
        .position(|it| submission.is(author, &client_id, it));
    let reconciliation = match at {
        Some(at) if later[at].merged => {
            let committed = place(submission.base()) + at + 1;
            let committed = open(&bench.log[..committed], &bench.settings);
            Reconciliation::merged(base, committed, submission, &later[at]).unwrap()
        }
        Some(_) => Reconciliation::moved(submission),
        None => Reconciliation::new(base, submission, 1 << 50),
    };
    bench.run(vec![Command::Reconcile {
        session: session(n),
        reconciliation: Box::new(reconciliation),
    }])
}

pub(crate) fn held(base: u64) -> Start {
    Start::Revision {
        revision: Revision::new(base),
        pending: true,
    }
}

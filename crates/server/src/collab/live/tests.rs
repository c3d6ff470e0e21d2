#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{sync::atomic::AtomicU64, time::Duration};

use motet_bus::LocalBus;
use motet_catalog::{Actor, AuditAction, Catalog, Kind, NewDocument, NewUser};
use motet_document::Start;
use motet_log::SqliteLog;
use motet_model::{Clock, NodeId, limits};
use tempfile::TempDir;
use tokio::{sync::Notify, time::timeout};

use super::*;
use crate::{
    audit::Auditor,
    auth::{Authority, Issuers, Tokens},
    clock::SystemClock,
    collab::{
        CollabSettings, Joining,
        outbox::End,
        session::{Positions, Speech},
    },
};

const OWNER: UserId = UserId::from_bytes([1; 16]);
const EDITOR: UserId = UserId::from_bytes([2; 16]);

/// How long a change of rights may take.
const AT_ONCE: Duration = Duration::from_secs(1);

struct Stage {
    collab: Arc<Collab>,
    catalog: Catalog,
    tokens: Arc<Tokens>,
    documents: AtomicU64,
    _folder: TempDir,
}

fn actor() -> Actor {
    Actor {
        user: Some(OWNER),
        organization: OrganizationId::DEFAULT,
        address: String::new(),
        nonce: [0; 16],
        at_ms: SystemClock.now_ms(),
    }
}

impl Stage {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("catalog.db");
        let catalog = Catalog::open_sqlite(&file).await.unwrap();
        for id in [OWNER, EDITOR] {
            let user = NewUser {
                id,
                organization: OrganizationId::DEFAULT,
                kind: Kind::Member,
                email: Some(format!("{id}@example.com")),
                name: "Somebody".to_owned(),
                password_hash: None,
                administrator: false,
            };
            let actor = actor();
            let made = catalog.create_user(&actor, &user, AuditAction::AccountCreated);
            made.await.unwrap();
        }
        let tokens = Arc::new(Tokens::open(&catalog, folder.path()).await.unwrap());
        let clock = Arc::new(SystemClock);
        let authority = Authority::new(
            catalog.clone(),
            Arc::clone(&tokens),
            Arc::new(Issuers::default()),
            clock.clone(),
        );
        let collab = Collab::new(
            LocalBus::alone(NodeId::from_bytes([1; 16])).into(),
            Arc::new(
                SqliteLog::open(&folder.path().join("log.db"))
                    .unwrap()
                    .into(),
            ),
            catalog.clone(),
            authority,
            Auditor::start(catalog.clone()),
            clock,
            CollabSettings::default(),
        );
        Self {
            collab,
            catalog,
            tokens,
            documents: AtomicU64::new(0),
            _folder: folder,
        }
    }

    /// A document that the editor may edit.
    async fn document(&self) -> DocumentId {
        let number = self.documents.fetch_add(1, Ordering::Relaxed);
        let id = DocumentId::new(number, [0; 10]);
        let document = NewDocument {
            id,
            title: "A document".to_owned(),
            owner: OWNER,
        };
        let made = self.catalog.create_document(&actor(), &document).await;
        made.unwrap();
        self.grant(id, Role::Editor).await;
        id
    }

    async fn grant(&self, id: DocumentId, role: Role) {
        let granted = self.catalog.grant(&actor(), id, EDITOR, role).await;
        granted.unwrap();
    }

    /// The editor on a document.
    async fn join(&self, document: DocumentId) -> Arc<Session> {
        let (token, _) =
            self.tokens
                .sign(EDITOR, "Somebody", None, SystemClock.now_ms(), 3_600_000);
        let principal = self.collab.authenticate(&token).await.unwrap();
        let joining = Joining {
            principal: &principal,
            address: &Arc::from(""),
            document,
            client_id: None,
            start: Start::Text,
            speech: Speech::Ot(Positions::default()),
            writer: Arc::new(Notify::new()),
            noted: false,
            gone: None,
            as_of: None,
        };
        self.collab.join(joining).await.unwrap()
    }
}

#[tokio::test]
async fn apart() {
    let stage = Stage::new().await;
    let mut sessions = Vec::new();
    for _ in 0..2 * ASKED_AT_ONCE {
        let document = stage.document().await;
        sessions.push(stage.join(document).await);
    }
    // All documents but the first are stuck: nothing goes into their inboxes any more.
    let mut full = Vec::new();
    for session in &sessions[1..] {
        let permits = session.room.reserve_many(limits::BATCH_COMMANDS_MAX);
        full.push(permits.await.unwrap());
    }
    for session in &sessions {
        let actor = actor();
        let revoked = stage.catalog.revoke(&actor, session.document, EDITOR);
        revoked.await.unwrap();
    }
    let elsewhere = async {
        for session in sessions.iter().rev() {
            let affected = Affected::Document(session.document);
            stage.collab.rights_changed(affected).await;
        }
    };
    let told = timeout(AT_ONCE, elsewhere).await;
    told.expect("nobody waits for a room that is full");
    for session in &sessions {
        let end = Some(End::Closed(ErrorCode::Forbidden));
        assert_eq!(session.outbox.take().end, end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn last() {
    let stage = Arc::new(Stage::new().await);
    let document = stage.document().await;
    let session = stage.join(document).await;
    let mut changes = Vec::new();
    for change in 0..40 {
        let stage = Arc::clone(&stage);
        changes.push(tokio::spawn(async move {
            let role = [Role::Viewer, Role::Editor][change % 2];
            stage.grant(document, role).await;
            stage.collab.rights_changed(Affected::User(EDITOR)).await;
        }));
    }
    for change in changes {
        change.await.unwrap();
    }
    let now_ms = SystemClock.now_ms();
    let rights = stage.catalog.rights(EDITOR, document, now_ms).await;
    assert_eq!(session.role(), rights.unwrap().unwrap().role);
}

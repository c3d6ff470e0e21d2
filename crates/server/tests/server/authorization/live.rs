//! Rights that change while somebody is in the document: each dialect follows within a second.
//!
//! What `collab.rs`, `events.rs`, `accounts.rs` and `sharing.rs` test of sockets and event streams
//! is not repeated.

use std::{collections::BTreeSet, time::Duration};

use motet_crdt::SyncMessage;
use motet_ot::Delta;
use motet_protocol::yjs;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    authorization::cast::{Caller, Document, Person, Stage, text},
    authorization::raw::{Dialect, Raw, synced},
    support::{Account, EventClient, Peer, Server, motet},
};

/// How long a change may take to arrive.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A live connection of one who has joined.
enum Line {
    Events(EventClient),
    Yjs(Raw),
}

/// What carries a connection.
#[derive(Clone, Copy, Debug)]
enum Carrier {
    Events,
    Yjs(Dialect),
}

const CARRIERS: [Carrier; 3] = [
    Carrier::Events,
    Carrier::Yjs(Dialect::YWebsocket),
    Carrier::Yjs(Dialect::Hocuspocus),
];

impl Line {
    async fn open(server: &Server, carrier: Carrier, document: &str, token: &str) -> Self {
        match carrier {
            Carrier::Events => {
                let mut client = server.listen(document, "clientId=c", token).await;
                client.expect("document_state").await;
                Self::Events(client)
            }
            Carrier::Yjs(dialect) => {
                let mut raw = Raw::open(server, dialect, document).await;
                raw.enter(token).await;
                raw.sync().await;
                Self::Yjs(raw)
            }
        }
    }

    /// The code with which it ends.
    async fn end(&mut self) -> u16 {
        match self {
            Self::Events(client) => client.closed().await.unwrap(),
            Self::Yjs(raw) => raw.refused().await,
        }
    }
}

/// What takes the rights of a session away.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Removal,
    Trash,
    Disabled,
    RevokedKey,
    ExpiredLink,
    SignedOut,
    StolenRefreshToken,
}

impl Loss {
    const ALL: [Self; 7] = [
        Self::Removal,
        Self::Trash,
        Self::Disabled,
        Self::RevokedKey,
        Self::ExpiredLink,
        Self::SignedOut,
        Self::StolenRefreshToken,
    ];

    const fn code(self) -> u16 {
        match self {
            Self::Removal | Self::Disabled | Self::ExpiredLink => 4403,
            Self::Trash => 4404,
            Self::RevokedKey | Self::SignedOut | Self::StolenRefreshToken => 4401,
        }
    }

    /// Who loses their rights in this way.
    const fn caller(self) -> Caller {
        match self {
            Self::RevokedKey => Caller::WriteKey,
            Self::ExpiredLink => Caller::Stranger,
            _ => Caller::Editor,
        }
    }
}

/// How long a link lives.
const LINK: Duration = Duration::from_secs(2);

/// Opens a link that ends by itself.
fn open_link(stage: &Stage, document: &Document<'_>, person: &Person) {
    let now = text(&stage.link(document), "createdAt");
    let end = humantime::parse_rfc3339(&now).unwrap() + LINK;
    let wanted = json!({
        "role": "editor", "expiresAt": humantime::format_rfc3339_millis(end).to_string(),
    });
    let path = format!("documents/{}/links", document.id);
    let link = stage.must(document.owner, "POST", &path, wanted);
    let path = format!("links/{}", text(&link, "token"));
    stage.must(person.account.as_ref().unwrap(), "POST", &path, json!({}));
}

async fn loses(stage: &Stage, loss: Loss, carrier: Carrier) {
    let person = stage.person(loss.caller());
    let account = person.account.as_ref().unwrap();
    let document = stage.document(&person);
    let path = format!("documents/{}", document.id);
    let mut patience = AT_ONCE;
    if matches!(loss, Loss::ExpiredLink) {
        open_link(stage, &document, &person);
        patience += LINK;
    }
    let token = person.bearer.as_deref().unwrap();
    let mut line = Line::open(&stage.server, carrier, &document.id, token).await;
    match loss {
        Loss::Removal => {
            let path = format!("{path}/grants/{}", account.id);
            stage.must(document.owner, "DELETE", &path, Value::Null);
        }
        Loss::Trash => drop(stage.must(document.owner, "DELETE", &path, Value::Null)),
        Loss::Disabled => {
            let path = format!("admin/users/{}", account.id);
            stage.must(&stage.root, "PATCH", &path, json!({ "disabled": true }));
        }
        Loss::RevokedKey => {
            let keys = stage.must(account, "GET", "api-keys", Value::Null);
            let path = format!("api-keys/{}", text(&keys["apiKeys"][0], "apiKeyId"));
            stage.must(account, "DELETE", &path, Value::Null);
        }
        Loss::ExpiredLink => {}
        Loss::SignedOut => assert_eq!(sign_out(&stage.server, account), 204),
        Loss::StolenRefreshToken => replay(&stage.server, account),
    }
    let code = timeout(patience, line.end()).await;
    let place = format!("{loss:?} on {carrier:?}");
    let code = code.unwrap_or_else(|_| panic!("{place}: not within a second"));
    assert_eq!(code, loss.code(), "{place}");
}

#[tokio::test]
async fn whoever_loses_their_rights_is_put_out_at_once() {
    let stage = Stage::new(&[]);
    for carrier in CARRIERS {
        for loss in Loss::ALL {
            loses(&stage, loss, carrier).await;
        }
    }
}

/// An edit that was allowed a moment ago, and is not now.
#[tokio::test]
async fn whoever_becomes_a_viewer_edits_no_more() {
    let stage = Stage::new(&[]);
    for dialect in [Dialect::YWebsocket, Dialect::Hocuspocus] {
        let person = stage.person(Caller::Editor);
        let account = person.account.as_ref().unwrap();
        let document = stage.document(&person);
        let mut raw = Raw::open(&stage.server, dialect, &document.id).await;
        raw.enter(&account.token).await;
        let edit = |known: &[u8]| synced(known).edit(&Delta::new().insert("x"));
        let update = edit(&raw.sync().await);
        raw.say(&yjs::sync(SyncMessage::Update(&update))).await;
        let known = raw.sync().await;
        assert_eq!(stage.server.document(account, &document.id).0, 1);
        let viewer = json!({ "userId": account.id, "role": "viewer" });
        stage.grant(&document, viewer);
        if dialect == Dialect::Hocuspocus {
            let told = timeout(AT_ONCE, raw.rights()).await;
            assert_eq!(told.expect("it is told within a second"), "readonly");
        }
        let update = edit(&known);
        raw.say(&yjs::sync(SyncMessage::Update(&update))).await;
        raw.sync().await;
        assert_eq!(
            stage.server.document(account, &document.id),
            (1, "x".to_owned()),
            "{dialect:?}"
        );
    }
}

/// The next sign-in of an account whose last one was `refresh`.
fn refreshed(server: &Server, refresh: &str) -> (Account, Value) {
    let body = json!({ "refreshToken": refresh });
    let (status, answer) = server.call("POST", "/api/v1/auth/refresh", None, Some(&body));
    assert_eq!(status, 200, "{answer}");
    (Account::of(&answer), answer["expiresAt"].clone())
}

/// Signs out; the status.
fn sign_out(server: &Server, account: &Account) -> u16 {
    let body = json!({ "refreshToken": account.refresh });
    let answer = server.call("POST", "/api/v1/auth/logout", None, Some(&body));
    answer.0
}

/// Presents a refresh token that was used up, as whoever had stolen it would.
fn replay(server: &Server, account: &Account) {
    let (next, _) = refreshed(server, &account.refresh);
    refreshed(server, &next.refresh);
    let body = json!({ "refreshToken": account.refresh });
    let (status, answer) = server.call("POST", "/api/v1/auth/refresh", None, Some(&body));
    assert_eq!(status, 401, "{answer}");
}

/// A sign-in takes with it what it opened, and nothing else of the account.
#[tokio::test]
async fn a_sign_in_ends_alone() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let here = server.register("ada");
    let there = server.sign_in("ada");
    let operators = motet(folder.path(), &["token", "--user", "ada@example.com"]);
    let (renewed, _) = refreshed(&server, &here.refresh);
    let document = server.create(&here);
    let validate = |token: &str| {
        let path = "/api/v1/auth/validate";
        server.call("GET", path, Some(token), None).0
    };
    let mut several = server.connect("/collab").await;
    let auth = |token: &str| json!({ "type": "auth", "token": token });
    several.send(&auth(&here.token)).await;
    let join = json!({ "type": "join_document", "documentId": document });
    several.send(&join).await;
    several.expect("document_state").await;
    let (mut stays, _) = server.join(&there, &document, "there").await;
    // What counts is the credential that was shown last.
    let (mut moves, _) = server.join(&here, &document, "moves").await;
    moves.send(&auth(&there.token)).await;
    moves.expect("authenticated").await;
    let (mut follows, _) = server.join(&there, &document, "follows").await;
    follows.send(&auth(&renewed.token)).await;
    follows.expect("authenticated").await;

    assert_eq!(sign_out(&server, &renewed), 204);
    for (gone, what) in [(&mut several, "of several"), (&mut follows, "that moved")] {
        let code = timeout(AT_ONCE, gone.closed()).await;
        let code = code.unwrap_or_else(|_| panic!("{what}: not within a second"));
        assert_eq!(code, Some(4401), "{what}");
    }
    for ended in [&here.token, &renewed.token] {
        assert_eq!(validate(ended), 401);
    }
    for other in [&there.token, &operators] {
        assert_eq!(validate(other), 200);
    }
    for line in [&mut stays, &mut moves] {
        line.send(&json!({ "type": "ping" })).await;
        line.expect("pong").await;
    }
}

#[tokio::test]
async fn a_session_ends_with_its_token_unless_a_fresh_one_came() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &["--access-token-seconds", "3"]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let hocuspocus = Carrier::Yjs(Dialect::Hocuspocus);
    let (mut socket, _) = server.join(&ada, &document, "s").await;
    let Line::Yjs(mut stays) = Line::open(&server, hocuspocus, &document, &ada.token).await else {
        panic!("it is one of Yjs");
    };
    let mut ending = Vec::new();
    for carrier in [Carrier::Yjs(Dialect::YWebsocket), hocuspocus] {
        ending.push(Line::open(&server, carrier, &document, &ada.token).await);
    }
    // One that ends at least a second later.
    let mut ends = BTreeSet::new();
    let mut fresh = ada;
    while ends.len() < 2 {
        let (account, end) = refreshed(&server, &fresh.refresh);
        fresh = account;
        ends.insert(text(&json!({ "end": end }), "end"));
    }
    let auth = json!({ "type": "auth", "token": fresh.token });
    socket.send(&auth).await;
    socket.expect("authenticated").await;
    stays.knock(Some(&fresh.token)).await;
    for line in &mut ending {
        assert_eq!(line.end().await, 4401);
    }
    socket.send(&json!({ "type": "ping" })).await;
    socket.expect("pong").await;
    stays.sync().await;
    assert_eq!(socket.closed().await, Some(4401));
    assert_eq!(stays.refused().await, 4401);
}

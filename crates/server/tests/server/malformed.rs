//! Frames that make no sense, in every dialect: they end the session that sends them at most, and those
//! who share its document notice nothing.

use crate::support::{
    Account, Client, EventClient, Heard, PATIENCE, Peer, Server, data_dir,
    editor::{Editor, decoded},
    random::Random,
    yjs::{Identities, YjsClient, auth},
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use motet_crdt::{AwarenessEntry, SyncMessage, encode_awareness, lib0};
use motet_document::{Document, Settings};
use motet_log::{DocumentLog, SqliteLog};
use motet_model::Revision;
use motet_ot::Delta;
use motet_protocol::yjs::{self, hocuspocus};
use serde_json::json;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// How many sessions speak nonsense, unless `MOTET_MALFORMED` says otherwise.
const SESSIONS: u64 = 1_500;
/// Most frames that one of them sends.
const FRAMES_MAX: usize = 12;

/// The close codes of docs/protocol.md that a client may bring upon itself by what it says.
const OT_CLOSES: [u16; 5] = [1000, 1008, 1009, 4400, 4401];
const YJS_CLOSES: [u16; 3] = [1008, 4400, 4413];

/// Bytes that mean something to one decoder or another.
const EDGES: [u8; 12] = [0, 1, 2, 9, 0x22, 0x5b, 0x7b, 0x7d, 0x7f, 0x80, 0xc3, 0xff];
/// The same for JSON.
const NUMBERS: [&str; 8] = [
    "-1",
    "0",
    "0.5",
    "1e400",
    "9007199254740992",
    "18446744073709551616",
    "null",
    "[[[[]]]]",
];

/// One who speaks nonsense on a WebSocket.
struct Stranger {
    random: Random,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Stranger {
    async fn connect(server: &Server, path: &str, seed: u64) -> Self {
        let address = format!("ws://{}{path}", server.address);
        let (socket, _) = connect_async(address).await.unwrap();
        let random = Random::new(seed);
        Self { random, socket }
    }

    /// Sends; the server may have ended the session before.
    async fn say(&mut self, frame: Message) {
        let _ended = self.socket.send(frame).await;
    }

    /// Waits until the server has heard everything: it answers, or ends the connection with one of these
    /// codes.
    async fn heard_out(&mut self, is_answer: impl Fn(&[u8]) -> bool, closes: &[u16]) {
        loop {
            let frame = timeout(PATIENCE, self.socket.next()).await;
            match frame.expect("neither answered nor ended") {
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map(|frame| u16::from(frame.code));
                    assert!(code.is_some_and(|code| closes.contains(&code)), "{code:?}");
                    return;
                }
                Some(Ok(Message::Text(text))) if is_answer(text.as_bytes()) => return,
                Some(Ok(Message::Binary(bytes))) if is_answer(&bytes) => return,
                Some(Ok(_)) => {}
                end => panic!("ended without a farewell: {end:?}"),
            }
        }
    }
}

/// Bytes changed at some places, or others altogether.
fn mutated(random: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    if random.index(8) == 0 {
        let len = random.index(64);
        return (0..len).map(|_| random.number().to_le_bytes()[0]).collect();
    }
    for _ in 0..random.index(4) {
        let at = random.index(bytes.len());
        let end = (at + 1 + random.index(8)).min(bytes.len());
        match random.index(6) {
            _ if bytes.is_empty() => bytes.push(EDGES[random.index(EDGES.len())]),
            0 => bytes[at] ^= 1 << random.index(8),
            1 => bytes[at] = EDGES[random.index(EDGES.len())],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.extend_from_within(at..end),
            _ => bytes.insert(at, EDGES[random.index(EDGES.len())]),
        }
    }
    bytes
}

/// A frame of the dialect of positions that was valid once.
fn ot_frame(random: &mut Random, document: &str) -> String {
    let messages = [
        json!({ "type": "edit_operation", "seq": 1, "revision": 0, "operation": { "ops": [
            { "insert": "é𝄞", "attributes": { "bold": true } }, { "insert": { "image": "x" } },
        ] } }),
        json!({ "type": "edit_operation", "seq": 1, "revision": 1, "operation": { "ops": [
            { "retain": 1, "attributes": { "bold": null } }, { "delete": 1 }, { "insert": "y" },
        ] } }),
        json!({ "type": "insert", "pos": 0, "text": "z" }),
        json!({ "type": "delete", "pos": 0, "len": 1 }),
        json!({ "type": "format", "pos": 0, "len": 1, "attributes": { "bold": true } }),
        json!({ "type": "cursor_update", "position": 1, "revision": 1 }),
        json!({ "type": "selection_update", "anchor": 0, "head": 1 }),
        json!({ "type": "presence_update", "data": { "mood": "\u{2028}" } }),
        json!({ "type": "join_document", "documentId": document, "revision": 1, "pending": true }),
        json!({ "type": "leave_document", "documentId": document }),
        json!({ "type": "auth", "token": "e30.e30.e30" }),
        json!({ "type": "ping" }),
    ];
    let mut message = messages[random.index(messages.len())].clone();
    if random.index(2) == 0 {
        message["documentId"] = json!(document);
    }
    let mut text = message.to_string();
    if random.index(3) == 0 {
        let digits: Vec<usize> = text.match_indices(['0', '1']).map(|it| it.0).collect();
        if let Some(at) = digits.get(random.index(digits.len())) {
            text.replace_range(at..=at, NUMBERS[random.index(NUMBERS.len())]);
        }
    }
    if random.index(4) == 0 {
        text = format!("[{text},{text}]");
    }
    let bytes = mutated(random, text.into_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The same of the dialects of identities.
fn yjs_message(random: &mut Random) -> Vec<u8> {
    let mut replica = Identities::new((1 << 20) + random.number() % 1_000);
    let mut update = replica.edit(&Delta::new().insert("nonsense"));
    if random.index(2) == 0 {
        update = replica.edit(&Delta::new().retain(2).insert("é𝄞").delete(3));
    }
    let state = r#"{"user":{"name":"x"},"cursor":{"anchor":{"tname":"content"},"head":null}}"#;
    let entry = AwarenessEntry {
        client: random.number() % 1_000,
        clock: random.number() % 9,
        state,
    };
    let message = match random.index(6) {
        0 => yjs::sync(SyncMessage::Step1(&[1, 1, 5])),
        1 => yjs::sync(SyncMessage::Step2(&update)),
        2 | 3 => yjs::sync(SyncMessage::Update(&update)),
        4 => yjs::awareness(&encode_awareness(&[entry])),
        _ => Bytes::from_static(&[3]),
    };
    // Often the lengths around it stay right.
    if random.index(2) == 0 {
        let is_awareness = random.index(2) == 0;
        let inner = if is_awareness {
            encode_awareness(&[entry])
        } else {
            update
        };
        let mut out = if is_awareness { vec![1] } else { vec![0, 2] };
        lib0::put_bytes(&mut out, &mutated(random, inner));
        return out;
    }
    mutated(random, message.to_vec())
}

/// Somebody speaks nonsense in the dialect of positions, on one document or several.
async fn positions(server: &Server, mallory: &Account, document: &str, seed: u64, single: bool) {
    let token = &mallory.token;
    let path = if single {
        format!("/collab/{document}?token={token}&clientId=m{seed}")
    } else {
        format!("/collab?token={token}")
    };
    let mut stranger = Stranger::connect(server, &path, seed).await;
    let join = json!({ "type": "join_document", "documentId": document });
    stranger.say(Message::text(join.to_string())).await;
    for _ in 0..=stranger.random.index(FRAMES_MAX) {
        let frame = match stranger.random.index(12) {
            0 => Message::binary(mutated(&mut stranger.random, vec![0; 9])),
            _ => Message::text(ot_frame(&mut stranger.random, document)),
        };
        stranger.say(frame).await;
    }
    stranger.say(Message::text(r#"{"type":"ping"}"#)).await;
    let is_pong = |frame: &[u8]| frame.windows(6).any(|six| six == b"\"pong\"");
    stranger.heard_out(is_pong, &OT_CLOSES).await;
}

/// The same in that of y-websocket.
async fn y_websocket(server: &Server, mallory: &Account, document: &str, seed: u64) {
    let path = format!("/yjs/{document}?token={}", mallory.token);
    let mut stranger = Stranger::connect(server, &path, seed).await;
    for _ in 0..=stranger.random.index(FRAMES_MAX) {
        let frame = match stranger.random.index(12) {
            0 => Message::text(ot_frame(&mut stranger.random, document)),
            _ => Message::binary(yjs_message(&mut stranger.random)),
        };
        stranger.say(frame).await;
    }
    let step_1 = yjs::sync(SyncMessage::Step1(&[0]));
    stranger.say(Message::Binary(step_1)).await;
    let is_step_2 = |frame: &[u8]| frame.starts_with(&[0, 1]);
    stranger.heard_out(is_step_2, &YJS_CLOSES).await;
}

/// The same in that of Hocuspocus, where a document may be refused and the socket stays.
async fn hocuspocus(server: &Server, mallory: &Account, document: &str, seed: u64) {
    let mut stranger = Stranger::connect(server, "/hocuspocus", seed).await;
    let prefix = hocuspocus::prefix(document);
    let auth = hocuspocus::frame(&prefix, &auth(&mallory.token));
    if stranger.random.index(8) > 0 {
        stranger.say(Message::Binary(auth.clone())).await;
    }
    for _ in 0..=stranger.random.index(FRAMES_MAX) {
        let random = &mut stranger.random;
        let message = yjs_message(random);
        let frame = match random.index(6) {
            0 => mutated(random, auth.to_vec()),
            1 => mutated(random, hocuspocus::frame(&prefix, &message).to_vec()),
            _ => hocuspocus::frame(&prefix, &message).to_vec(),
        };
        stranger.say(Message::binary(frame)).await;
    }
    stranger.say(Message::binary(vec![9])).await;
    stranger.heard_out(|frame| frame == [10], &YJS_CLOSES).await;
}

/// The same in requests beside an event stream.
async fn requests(server: &Server, mallory: &Account, document: &str, seed: u64) {
    let (mut stream, _) = server
        .listen_in(mallory, document, &format!("m{seed}"))
        .await;
    let mut random = Random::new(seed);
    let mut frame = 1;
    for _ in 0..=random.index(FRAMES_MAX) {
        let text = ot_frame(&mut random, document);
        let (status, code) = if random.index(6) == 0 {
            let number = NUMBERS[random.index(NUMBERS.len() - 1)];
            stream.post_to(&format!("connection=x&frame={number}"), &text)
        } else {
            stream.post(frame, &text)
        };
        match status {
            204 => frame += 1,
            400 | 410 | 413 | 429 => assert!(code.is_some()),
            status => panic!("answered {status} {code:?}"),
        }
    }
    // Where it has ended nobody hears this.
    stream.post(frame, r#"{"type":"ping"}"#);
    loop {
        match stream.next().await {
            Heard::Message(message) if message["type"] == "pong" => return,
            Heard::Message(_) => {}
            Heard::Closed(code) => {
                assert!(
                    code.is_some_and(|code| OT_CLOSES.contains(&code)),
                    "{code:?}"
                );
                return;
            }
        }
    }
}

/// Bytes that are not even frames of a WebSocket.
async fn no_frames(server: &Server, mallory: &Account, document: &str, seed: u64) {
    let path = format!("/collab/{document}?token={}", mallory.token);
    let mut stranger = Stranger::connect(server, &path, seed).await;
    let bytes: Vec<u8> = (0..200)
        .map(|_| stranger.random.number().to_le_bytes()[0])
        .collect();
    if let MaybeTlsStream::Plain(socket) = stranger.socket.get_mut() {
        tokio::io::AsyncWriteExt::write_all(socket, &bytes)
            .await
            .unwrap();
    }
}

/// Those who keep to the protocol, one of each dialect.
struct WellBehaved {
    socket: Editor<Client>,
    stream: Editor<EventClient>,
    y_websocket: YjsClient,
    hocuspocus: YjsClient,
}

impl WellBehaved {
    async fn join(server: &Server, ada: &Account, document: &str) -> Self {
        Self {
            socket: Editor::new(server.join(ada, document, "socket").await.0),
            stream: Editor::new(server.listen_in(ada, document, "stream").await.0),
            y_websocket: server.yjs(ada, document, Identities::new(1)).await,
            hocuspocus: server.hocuspocus(ada, document, Identities::new(2)).await,
        }
    }

    /// Everybody edits, and is answered.
    async fn edit(&mut self, n: u64) {
        let word = |dialect: &str| Delta::new().insert(&format!("{dialect}{n} "));
        self.socket.edit(word("socket")).await;
        self.stream.edit(word("stream")).await;
        self.y_websocket.edit(&word("y-websocket")).await;
        self.hocuspocus.edit(&word("hocuspocus")).await;
        self.socket.settle().await;
        self.stream.settle().await;
        self.y_websocket.sync().await;
        self.hocuspocus.sync().await;
    }

    async fn converge(mut self, revision: u64, content: &Delta) {
        self.socket.reach(revision).await;
        assert_eq!(self.socket.content, *content);
        self.stream.reach(revision).await;
        assert_eq!(self.stream.content, *content);
        self.y_websocket.sync().await;
        assert_eq!(self.y_websocket.document.content(), *content);
        self.hocuspocus.sync().await;
        assert_eq!(self.hocuspocus.document.content(), *content);
    }
}

/// Others who speak identities would drop the message that it comes in, with the states of everybody.
#[tokio::test]
async fn an_awareness_state_that_is_no_json_is_not_passed_on() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let (ada, mallory) = (server.register("ada"), server.register("mallory"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "mallory", "viewer");
    let states = ["{", "", "undefined", "{\"user\":\"\u{1}\"}", "1 2"];
    for state in states {
        let entry = AwarenessEntry {
            client: 7,
            clock: 1,
            state,
        };
        let awareness = yjs::awareness(&encode_awareness(&[entry]));
        let path = format!("/yjs/{document}?token={}", mallory.token);
        let mut stranger = Stranger::connect(&server, &path, 1).await;
        stranger.say(Message::Binary(awareness.clone())).await;
        stranger.heard_out(|_| false, &[4400]).await;

        let prefix = hocuspocus::prefix(&document);
        let mut stranger = Stranger::connect(&server, "/hocuspocus", 1).await;
        for message in [&auth(&mallory.token), &*awareness] {
            let frame = hocuspocus::frame(&prefix, message);
            stranger.say(Message::Binary(frame)).await;
        }
        let denied = hocuspocus::frame(&prefix, &[2, 1]);
        let is_denied = |frame: &[u8]| frame.starts_with(&denied);
        stranger.heard_out(is_denied, &[]).await;
    }
    // As JavaScript has it.
    let entry = AwarenessEntry {
        client: 7,
        clock: 1,
        state: r#"{"user":{"name":"\ud800"}}"#,
    };
    let mut client = server.yjs(&mallory, &document, Identities::new(1)).await;
    let awareness = yjs::awareness(&encode_awareness(&[entry]));
    client.send(&awareness).await;
    client.sync().await;
}

#[tokio::test]
async fn malformed_frames_harm_only_their_sender() {
    let data = data_dir();
    let errors = data.path().join("stderr");
    let mut server = Server::start_noting(data.path(), &[], &errors);
    let (ada, mallory) = (server.register("ada"), server.register("mallory"));
    let document = server.create(&ada);
    server.grant(&ada, &document, "mallory", "editor");
    let mut others = WellBehaved::join(&server, &ada, &document).await;
    others.edit(0).await;

    let sessions = std::env::var("MOTET_MALFORMED").ok();
    let sessions = sessions.map_or(SESSIONS, |sessions| sessions.parse().unwrap());
    for seed in 1..=sessions {
        // What a failing test shows.
        eprintln!("session {seed}");
        match seed % 6 {
            0 => positions(&server, &mallory, &document, seed, true).await,
            1 => positions(&server, &mallory, &document, seed, false).await,
            2 => y_websocket(&server, &mallory, &document, seed).await,
            3 => hocuspocus(&server, &mallory, &document, seed).await,
            4 => requests(&server, &mallory, &document, seed).await,
            _ => no_frames(&server, &mallory, &document, seed).await,
        }
        if seed % 10 == 0 {
            others.edit(seed).await;
        }
    }

    let (_, state) = server.join(&ada, &document, "last").await;
    let revision = state["revision"].as_u64().unwrap();
    let content = decoded(&state["content"]);
    others.converge(revision, &content).await;
    // What the document was all the time is what its log makes of it, without any checkpoint.
    server.kill();
    let log = SqliteLog::open(&data.path().join("log.db")).unwrap();
    let id = document.parse().unwrap();
    let changes = log.read(id, Revision::ZERO, usize::MAX).await.unwrap();
    let mut replayed = Document::open(id, None, Settings::default()).unwrap();
    replayed.replay(changes).unwrap();
    assert_eq!(replayed.head(), Revision::new(revision));
    assert_eq!(replayed.snapshot().content.to_delta(), content);
    let noted = std::fs::read_to_string(&errors).unwrap();
    assert!(
        !noted.contains("panicked") && !noted.contains("ERROR"),
        "{noted}"
    );
}

//! A client of Yjs that says what it is told to, and hears everything.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use motet_crdt::{AwarenessEntry, Client, SyncMessage, Version, encode_awareness, lib0};
use motet_protocol::yjs::{self, Message, hocuspocus};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite};

use crate::support::{
    PATIENCE, Server,
    yjs::{Identities, auth},
};

pub(crate) const QUERY_AWARENESS: [u8; 1] = [3];
/// The client id of whoever edits.
pub(crate) const CLIENT: Client = 77;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    YWebsocket,
    Hocuspocus,
}

/// A connection about one document.
pub(crate) struct Raw {
    socket: Option<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    dialect: Dialect,
    address: String,
    document: String,
    /// In Hocuspocus, the front of every frame.
    prefix: Bytes,
}

/// What the server says.
#[derive(Debug)]
pub(crate) enum Heard {
    Step1,
    Step2(Vec<u8>),
    Update,
    Awareness(String),
    /// About rights.
    Auth(String),
    /// Whether an edit is stored.
    Status(bool),
    Closed(u16),
    Other,
}

/// A document that has what a step 2 said.
pub(crate) fn synced(step_2: &[u8]) -> Identities {
    let mut document = Identities::new(CLIENT);
    document.replica.apply_update(step_2, Version::V1).unwrap();
    document
}

/// What a client says of itself.
pub(crate) fn awareness(client: Client, state: &str) -> Vec<u8> {
    let entry = AwarenessEntry {
        client,
        clock: 1,
        state,
    };
    yjs::awareness(&encode_awareness(&[entry])).to_vec()
}

impl Raw {
    /// Of a document, and nothing said yet.
    pub(crate) async fn open(server: &Server, dialect: Dialect, document: &str) -> Self {
        let mut raw = Self {
            socket: None,
            dialect,
            address: server.address.clone(),
            document: document.to_owned(),
            prefix: Bytes::new(),
        };
        if dialect == Dialect::Hocuspocus {
            raw.prefix = hocuspocus::prefix(document);
            raw.connect("/hocuspocus").await;
        }
        raw
    }

    async fn connect(&mut self, path: &str) {
        let url = format!("ws://{}{path}", self.address);
        self.socket = Some(connect_async(url).await.unwrap().0);
    }

    /// Shows a token, or none. The answer is not waited for.
    pub(crate) async fn knock(&mut self, token: Option<&str>) {
        match (self.dialect, token) {
            (Dialect::YWebsocket, Some(token)) => {
                let path = format!("/yjs/{}?token={token}", self.document);
                self.connect(&path).await;
            }
            (Dialect::YWebsocket, None) => {
                let path = format!("/yjs/{}", self.document);
                self.connect(&path).await;
            }
            (Dialect::Hocuspocus, token) => self.say(&auth(token.unwrap_or_default())).await,
        }
    }

    /// Is let in; Hocuspocus tells what one may do.
    pub(crate) async fn enter(&mut self, token: &str) -> Option<String> {
        self.knock(Some(token)).await;
        match self.dialect {
            Dialect::YWebsocket => None,
            Dialect::Hocuspocus => Some(self.rights().await),
        }
    }

    /// The next that is said about rights.
    pub(crate) async fn rights(&mut self) -> String {
        let rights = |heard: &Heard| match heard {
            Heard::Auth(text) => Some(text.clone()),
            _ => None,
        };
        self.until(rights).await
    }

    /// Whether the edit is stored, in Hocuspocus.
    pub(crate) async fn stored(&mut self) -> bool {
        let stored = |heard: &Heard| match heard {
            Heard::Status(stored) => Some(*stored),
            _ => None,
        };
        self.until(stored).await
    }

    pub(crate) async fn say(&mut self, message: &[u8]) {
        let frame = hocuspocus::frame(&self.prefix, message);
        let frame = tungstenite::Message::Binary(frame);
        self.socket.as_mut().unwrap().send(frame).await.unwrap();
    }

    /// Asks for everything, and returns it; what was said before is done then.
    pub(crate) async fn sync(&mut self) -> Vec<u8> {
        self.say(&yjs::sync(SyncMessage::Step1(&[0]))).await;
        let all = self.step_2().await;
        if self.dialect == Dialect::Hocuspocus {
            // Edits are confirmed from the client's own step 2 on. It has nothing to say in it.
            self.say(&yjs::sync(SyncMessage::Step2(&[0, 0]))).await;
            self.stored().await;
        }
        all
    }

    pub(crate) async fn step_2(&mut self) -> Vec<u8> {
        let step_2 = |heard: &Heard| match heard {
            Heard::Step2(update) => Some(update.clone()),
            _ => None,
        };
        self.until(step_2).await
    }

    /// Is told of a client that says this of itself.
    pub(crate) async fn sees(&mut self, part: &str) {
        let sees = |heard: &Heard| match heard {
            Heard::Awareness(states) => states.contains(part).then_some(()),
            _ => None,
        };
        self.until(sees).await;
    }

    /// The first that is wanted; others are passed over, but not an end.
    pub(crate) async fn until<T>(&mut self, wanted: impl Fn(&Heard) -> Option<T>) -> T {
        let search = async {
            loop {
                let heard = self.next().await;
                if let Some(found) = wanted(&heard) {
                    return found;
                }
                assert!(!matches!(heard, Heard::Closed(_)), "{heard:?}");
            }
        };
        // Signs of life come all the time.
        timeout(PATIENCE, search).await.expect("it was never said")
    }

    /// The code with which it is refused or put out: Hocuspocus keeps the socket, and only says so.
    pub(crate) async fn refused(&mut self) -> u16 {
        let mut said = None;
        loop {
            match self.next().await {
                Heard::Auth(text) if text.contains(": ") => {
                    let code = match text.split(':').next().unwrap() {
                        "unauthenticated" | "token_expired" => 4401,
                        "forbidden" => 4403,
                        "not_found" => 4404,
                        code => panic!("{code}"),
                    };
                    if self.dialect == Dialect::Hocuspocus {
                        return code;
                    }
                    said = Some(code);
                }
                Heard::Closed(code) => {
                    assert!(
                        said.is_none_or(|said| said == code),
                        "{said:?}, then {code}"
                    );
                    return code;
                }
                _ => {}
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Heard {
        let socket = self.socket.as_mut().unwrap();
        let frame = timeout(PATIENCE, socket.next()).await;
        let frame = match frame.expect("the server is silent") {
            Some(Ok(tungstenite::Message::Binary(frame))) => frame,
            Some(Ok(tungstenite::Message::Close(frame))) => {
                return Heard::Closed(frame.map_or(0, |frame| frame.code.into()));
            }
            Some(Ok(_)) => return Heard::Other,
            Some(Err(_)) | None => return Heard::Closed(0),
        };
        let body = frame.strip_prefix(&*self.prefix);
        let mut body = body.expect("about the document");
        match yjs::decode(body).unwrap() {
            Message::Sync(SyncMessage::Step1(_)) => Heard::Step1,
            Message::Sync(SyncMessage::Step2(update)) => Heard::Step2(update.to_vec()),
            Message::Sync(SyncMessage::Update(_)) => Heard::Update,
            Message::Awareness(update) => {
                let entries = motet_crdt::decode_awareness(update).unwrap();
                let states: Vec<_> = entries.iter().map(|entry| entry.state).collect();
                Heard::Awareness(states.join(" "))
            }
            Message::Unknown(2) => {
                let mut number = || lib0::take_number(&mut body).unwrap();
                let (_auth, _kind) = (number(), number());
                // One that asks for a token has no text.
                let text = lib0::take_text(&mut body).unwrap_or_default();
                Heard::Auth(text.to_owned())
            }
            Message::Unknown(8) => Heard::Status(body[1] == 1),
            _ => Heard::Other,
        }
    }
}

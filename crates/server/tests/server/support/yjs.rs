//! Clients that speak identities: y-websocket, and Hocuspocus around the same messages.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use motet_crdt::{
    Client, Options, Replica, SyncMessage, Version, decode_awareness, decode_state_vector, lib0,
};
use motet_ot::Delta;
use motet_protocol::yjs::{self, Message, hocuspocus};
use serde::de::IgnoredAny;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite};

use super::{Account, PATIENCE, Server};

/// The root that clients which speak positions edit.
pub(crate) const ROOT: &str = "content";

/// A document as such a client holds it, connected or not.
pub(crate) struct Identities {
    pub(crate) replica: Replica,
    client: Client,
}

/// A connection that has synced.
pub(crate) struct YjsClient {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) document: Identities,
    /// In Hocuspocus, the front of every frame.
    prefix: Bytes,
    is_hocuspocus: bool,
}

/// What such a socket gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeardYjs {
    /// All that the client lacked when it asked. It is applied.
    Step2,
    /// Something else about the document. Updates are applied.
    Other,
    Closed(Option<u16>),
}

impl Identities {
    pub(crate) fn new(client: Client) -> Self {
        let replica = Replica::new(Options::default());
        Self { replica, client }
    }

    /// Makes an edit and returns it as an update.
    pub(crate) fn edit(&mut self, delta: &Delta) -> Vec<u8> {
        self.replica.apply_delta(ROOT, delta, self.client).unwrap()
    }

    pub(crate) fn content(&self) -> Delta {
        self.replica.to_delta(ROOT)
    }
}

impl Server {
    /// A connection of y-websocket that has synced.
    pub(crate) async fn yjs(&self, account: &Account, id: &str, document: Identities) -> YjsClient {
        let path = format!("/yjs/{id}?token={}", account.token);
        let mut client = self.open_yjs(&path, document, Bytes::new(), false).await;
        client.sync().await;
        client
    }

    /// A connection of Hocuspocus that has synced.
    pub(crate) async fn hocuspocus(
        &self,
        account: &Account,
        id: &str,
        document: Identities,
    ) -> YjsClient {
        let prefix = hocuspocus::prefix(id);
        let mut client = self.open_yjs("/hocuspocus", document, prefix, true).await;
        client.send(&auth(&account.token)).await;
        client.sync().await;
        client
    }

    async fn open_yjs(
        &self,
        path: &str,
        document: Identities,
        prefix: Bytes,
        is_hocuspocus: bool,
    ) -> YjsClient {
        let address = format!("ws://{}{path}", self.address);
        let (socket, _) = connect_async(address).await.unwrap();
        YjsClient {
            socket,
            document,
            prefix,
            is_hocuspocus,
        }
    }
}

/// Says who a client of Hocuspocus is.
pub(crate) fn auth(token: &str) -> Vec<u8> {
    let mut out = vec![2, 0];
    lib0::put_bytes(&mut out, token.as_bytes());
    out
}

impl YjsClient {
    /// Sends a message about the document.
    pub(crate) async fn send(&mut self, message: &[u8]) {
        let frame = self.frame(message);
        self.socket.send(frame).await.unwrap();
    }

    fn frame(&self, message: &[u8]) -> tungstenite::Message {
        let frame = hocuspocus::frame(&self.prefix, message);
        tungstenite::Message::Binary(frame)
    }

    pub(crate) async fn edit(&mut self, delta: &Delta) {
        self.edit_all([delta.clone()]).await;
    }

    /// Makes these edits, each a message of its own, without waiting in between.
    pub(crate) async fn edit_all(&mut self, deltas: impl IntoIterator<Item = Delta>) {
        for delta in deltas {
            let update = self.document.edit(&delta);
            let message = yjs::sync(SyncMessage::Update(&update));
            self.socket.feed(self.frame(&message)).await.unwrap();
        }
        self.socket.flush().await.unwrap();
    }

    /// Asks for all that the client lacks and hears the server until it has it. What the client has
    /// sent before is committed then.
    pub(crate) async fn sync(&mut self) {
        let known = self.document.replica.encode_state_vector();
        self.send(&yjs::sync(SyncMessage::Step1(&known))).await;
        loop {
            match self.next().await {
                HeardYjs::Step2 => return,
                HeardYjs::Other => {}
                HeardYjs::Closed(code) => panic!("closed with {code:?}"),
            }
        }
    }

    pub(crate) async fn next(&mut self) -> HeardYjs {
        let frame = timeout(PATIENCE, self.socket.next()).await;
        let frame = match frame.expect("the server is silent") {
            Some(Ok(tungstenite::Message::Binary(frame))) => frame,
            Some(Ok(tungstenite::Message::Close(frame))) => {
                return HeardYjs::Closed(frame.map(|frame| frame.code.into()));
            }
            Some(Ok(_)) => return HeardYjs::Other,
            Some(Err(_)) | None => return HeardYjs::Closed(None),
        };
        let body = if self.is_hocuspocus {
            frame
                .strip_prefix(&*self.prefix)
                .expect("about the document")
        } else {
            &frame
        };
        let replica = &mut self.document.replica;
        match yjs_message(body) {
            Some(SyncMessage::Step1(known)) => {
                let known = decode_state_vector(known).unwrap();
                let missing = replica.encode_update(&known, Version::V1);
                let step_2 = yjs::sync(SyncMessage::Step2(&missing));
                self.send(&step_2).await;
                HeardYjs::Other
            }
            Some(SyncMessage::Step2(update)) => {
                replica.apply_update(update, Version::V1).unwrap();
                HeardYjs::Step2
            }
            Some(SyncMessage::Update(update)) => {
                replica.apply_update(update, Version::V1).unwrap();
                HeardYjs::Other
            }
            None => HeardYjs::Other,
        }
    }
}

/// What a message says of the document. A client of Yjs cannot get over what it cannot read.
fn yjs_message(body: &[u8]) -> Option<SyncMessage<'_>> {
    match yjs::decode(body).unwrap() {
        Message::Sync(message) => Some(message),
        Message::Awareness(update) => {
            for entry in decode_awareness(update).unwrap() {
                serde_json::from_str::<IgnoredAny>(entry.state).unwrap();
            }
            None
        }
        _ => None,
    }
}

//! What carries a client's messages to a node that may be gone at any time.

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message},
};

use super::stage::Stage;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How often a frame of an event stream is sent before the client begins anew.
const ATTEMPTS: usize = 5;

#[derive(Debug)]
pub(super) enum Heard {
    Message(Value),
    Closed(Option<u16>),
}

/// A WebSocket, unless the node is away or says that it will be.
pub(super) async fn open(stage: &Stage, who: &str, node: usize, path: &str) -> Option<Socket> {
    let address = format!("ws://{}{path}", stage.address(node));
    match timeout(stage.silence, connect_async(address)).await {
        Ok(Ok((socket, _))) => Some(socket),
        Ok(Err(tungstenite::Error::Http(answer))) if answer.status() != 503 => {
            stage.complain(format!("{who} was answered {}", answer.status()));
            None
        }
        Ok(Err(_)) | Err(_) => None,
    }
}

pub(super) enum Pipe {
    Socket(Box<Socket>, VecDeque<Value>),
    Stream(Box<EventStream>),
}

impl Pipe {
    pub(super) async fn send(&mut self, stage: &Stage, who: &str, message: &Value) -> bool {
        match self {
            Self::Socket(socket, _) => {
                let sent = socket.send(Message::text(message.to_string()));
                matches!(timeout(stage.silence, sent).await, Ok(Ok(())))
            }
            Self::Stream(stream) => stream.send(stage, who, message).await,
        }
    }

    /// Nothing is lost if this is dropped before it is ready.
    pub(super) async fn heard(&mut self) -> Heard {
        match self {
            Self::Socket(socket, unheard) => loop {
                if let Some(message) = unheard.pop_front() {
                    return Heard::Message(message);
                }
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => unheard.extend(messages(&text)),
                    Some(Ok(Message::Close(frame))) => {
                        return Heard::Closed(frame.map(|frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Heard::Closed(None),
                }
            },
            Self::Stream(stream) => stream.heard().await,
        }
    }
}

fn messages(frame: &str) -> Vec<Value> {
    match serde_json::from_str(frame).unwrap() {
        Value::Array(messages) => messages,
        message => vec![message],
    }
}

/// An event stream, whose frames go to any node.
pub(super) struct EventStream {
    client: reqwest::Client,
    document: String,
    events: reqwest::Response,
    text: Vec<u8>,
    unheard: VecDeque<Value>,
    connection: Option<String>,
    frame: u64,
    /// Where frames go: behind a balancer that may be any node.
    node: usize,
}

impl EventStream {
    pub(super) async fn open(
        stage: &Stage,
        who: &str,
        (from, to): (usize, usize),
        document: &str,
        query: &str,
    ) -> Option<Self> {
        // The server's own, if it is the same process, may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().build().unwrap();
        let url = format!(
            "http://{}/api/v1/documents/{document}/events?{query}",
            stage.address(from)
        );
        let asked = client.get(url).bearer_auth(&stage.token).send();
        let events = timeout(stage.silence, asked).await.ok()?.ok()?;
        match events.status().as_u16() {
            200 => Some(Self {
                client,
                document: document.to_owned(),
                events,
                text: Vec::new(),
                unheard: VecDeque::new(),
                connection: None,
                frame: 0,
                node: to,
            }),
            503 => None,
            status => {
                stage.complain(format!("{who} was answered {status}"));
                None
            }
        }
    }

    /// The same frame again and again, until one node has taken it.
    async fn send(&mut self, stage: &Stage, who: &str, message: &Value) -> bool {
        let Some(connection) = &self.connection else {
            return false;
        };
        self.frame += 1;
        for _ in 0..ATTEMPTS {
            let url = format!(
                "http://{}/api/v1/documents/{}/messages?connection={connection}&frame={}",
                stage.address(self.node),
                self.document,
                self.frame
            );
            let asked = self
                .client
                .post(url)
                .bearer_auth(&stage.token)
                .header("content-type", "application/json")
                .body(message.to_string())
                .timeout(stage.silence)
                .send();
            match asked.await.map(|answer| answer.status().as_u16()) {
                Ok(204) => return true,
                Ok(410) => return false,
                Ok(429 | 503) | Err(_) => {}
                Ok(status) => stage.complain(format!("a frame of {who} was answered {status}")),
            }
            self.node = (self.node + 1) % stage.nodes();
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    async fn heard(&mut self) -> Heard {
        loop {
            if let Some(message) = self.unheard.pop_front() {
                return Heard::Message(message);
            }
            let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") else {
                match self.events.chunk().await {
                    Ok(Some(chunk)) => self.text.extend_from_slice(&chunk),
                    Ok(None) | Err(_) => return Heard::Closed(None),
                }
                continue;
            };
            let event: Vec<u8> = self.text.drain(..end + 2).collect();
            let event = String::from_utf8(event).unwrap();
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            let Some(data) = field("data: ") else {
                continue;
            };
            match field("event: ") {
                Some("connection") => {
                    let json: Value = serde_json::from_str(data).unwrap();
                    self.connection = json["connectionId"].as_str().map(ToOwned::to_owned);
                }
                Some("close") => {
                    let json: Value = serde_json::from_str(data).unwrap();
                    let code = json["code"].as_u64().and_then(|it| it.try_into().ok());
                    return Heard::Closed(code);
                }
                _ => self.unheard.extend(messages(data)),
            }
        }
    }
}

//! A real server in its own process, and small clients to drive it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// Longest that anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(data: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_motet"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log",
                "warn",
                "--data-dir",
            ])
            .arg(data)
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines
            .next()
            .expect("the server says where it listens")
            .unwrap();
        let address = line
            .strip_prefix("motet listening on http://")
            .unwrap()
            .to_owned();
        Self { child, address }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the orderly end.
    pub(crate) fn terminate(&mut self) {
        self.drain();
        assert!(self.child.wait().unwrap().success());
    }

    /// SIGTERM.
    pub(crate) fn drain(&self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// A request with a JSON body and answer; the status too.
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let body = body.map(ToString::to_string);
        let headers = token.map(|token| ("authorization", format!("Bearer {token}")));
        let (status, _, text) = self.raw(method, path, headers.as_slice(), body.as_deref());
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Option<&str>,
    ) -> (u16, ureq::http::HeaderMap, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .allow_non_standard_methods(true)
            .build()
            .into();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = match body {
            Some(body) => agent.run(request.body(body.to_owned()).unwrap()),
            None => agent.run(request.body(()).unwrap()),
        };
        let mut response = response.unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), response.headers().clone(), text)
    }

    /// An account; returns its id and an access token.
    pub(crate) fn register(&self, name: &str) -> Account {
        let body = json!({
            "email": format!("{name}@example.com"), "password": "a good password", "name": name,
        });
        let (status, answer) = self.call("POST", "/api/v1/auth/register", None, Some(&body));
        assert_eq!(status, 201, "{answer}");
        let text = |field: &str| answer[field].as_str().unwrap().to_owned();
        Account {
            id: text("userId"),
            token: text("token"),
            refresh: text("refreshToken"),
        }
    }

    pub(crate) fn create(&self, account: &Account) -> String {
        let body = json!({ "title": "A document" });
        let (status, answer) = self.call(
            "POST",
            "/api/v1/documents",
            Some(&account.token),
            Some(&body),
        );
        assert_eq!(status, 201, "{answer}");
        answer["documentId"].as_str().unwrap().to_owned()
    }

    pub(crate) fn grant(&self, owner: &Account, document: &str, name: &str, role: &str) {
        let body = json!({ "email": format!("{name}@example.com"), "role": role });
        let path = format!("/api/v1/documents/{document}/grants");
        let (status, answer) = self.call("POST", &path, Some(&owner.token), Some(&body));
        assert_eq!(status, 201, "{answer}");
    }

    /// The document's revision and text as REST has it.
    pub(crate) fn document(&self, account: &Account, document: &str) -> (u64, String) {
        let path = format!("/api/v1/documents/{document}");
        let (status, answer) = self.call("GET", &path, Some(&account.token), None);
        assert_eq!(status, 200, "{answer}");
        (
            answer["revision"].as_u64().unwrap(),
            text_of(&answer["content"]),
        )
    }

    pub(crate) async fn connect(&self, path: &str) -> Client {
        let (socket, _) = connect_async(format!("ws://{}{path}", self.address))
            .await
            .unwrap();
        Client {
            socket,
            waiting: Vec::new(),
        }
    }

    /// A connection that has joined the document.
    pub(crate) async fn join(
        &self,
        account: &Account,
        document: &str,
        client: &str,
    ) -> (Client, Value) {
        let token = &account.token;
        let path = format!("/collab/{document}?token={token}&clientId={client}");
        let mut client = self.connect(&path).await;
        let state = client.expect("document_state").await;
        (client, state)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

pub(crate) fn data_dir() -> TempDir {
    TempDir::new().unwrap()
}

pub(crate) fn text_of(content: &Value) -> String {
    let ops = content["ops"].as_array().unwrap();
    ops.iter()
        .map(|op| op["insert"].as_str().unwrap_or("\u{fffc}"))
        .collect()
}

pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) refresh: String,
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    waiting: Vec<Value>,
}

/// What a socket gives.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Value),
    Closed(Option<u16>),
}

impl Client {
    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_text(message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next message, or the end.
    pub(crate) async fn next(&mut self) -> Heard {
        // Pings are not what a test waits for.
        timeout(PATIENCE, self.heard())
            .await
            .expect("the server is silent")
    }

    async fn heard(&mut self) -> Heard {
        loop {
            if !self.waiting.is_empty() {
                return Heard::Message(self.waiting.remove(0));
            }
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text).unwrap() {
                    Value::Array(messages) => self.waiting.extend(messages),
                    message => self.waiting.push(message),
                },
                Some(Ok(Message::Close(frame))) => {
                    return Heard::Closed(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Closed(None),
            }
        }
    }

    /// The next message of this type; others are passed over, but not an end.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        loop {
            match self.next().await {
                Heard::Message(message) if message["type"] == kind => return message,
                Heard::Message(message) => {
                    assert!(message["type"] != "error" || kind == "error", "{message}");
                }
                Heard::Closed(code) => panic!("closed with {code:?} before {kind}"),
            }
        }
    }

    /// The error's code and the close code that follow.
    pub(crate) async fn expect_close(&mut self) -> (Option<String>, Option<u16>) {
        let mut error = None;
        loop {
            match self.next().await {
                Heard::Message(message) if message["type"] == "error" => {
                    error = message["code"].as_str().map(ToOwned::to_owned);
                }
                Heard::Message(_) => {}
                Heard::Closed(code) => return (error, code),
            }
        }
    }

    /// Breaks the connection as a network does, without a farewell.
    pub(crate) fn reset(self) {
        if let MaybeTlsStream::Plain(socket) = self.socket.get_ref() {
            socket.set_zero_linger().unwrap();
        }
    }

    pub(crate) async fn submit(&mut self, seq: u64, revision: u64, ops: Value) {
        let operation = json!({ "ops": ops });
        self.send(&json!({
            "type": "edit_operation", "seq": seq, "revision": revision, "operation": operation,
        }))
        .await;
    }
}

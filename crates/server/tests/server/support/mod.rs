//! A real server in its own process, and small clients to drive it.

pub(crate) mod editor;
pub(crate) mod provider;
pub(crate) mod random;
pub(crate) mod yjs;

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
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
        Self::spawn(data, flags, Stdio::inherit()).expect("the server says where it listens")
    }

    /// One whose complaints go to a file.
    pub(crate) fn start_noting(data: &Path, flags: &[&str], errors: &Path) -> Self {
        Self::spawn(data, flags, File::create(errors).unwrap().into())
            .expect("the server says where it listens")
    }

    /// The same, which adds to the file. `None`: it has ended instead of starting.
    pub(crate) fn try_start(data: &Path, flags: &[&str], errors: &Path) -> Option<Self> {
        let errors = File::options().create(true).append(true).open(errors);
        Self::spawn(data, flags, errors.unwrap().into())
    }

    /// Without limits on how much one may do, unless the flags turn them on.
    fn spawn(data: &Path, flags: &[&str], errors: Stdio) -> Option<Self> {
        let limits: &[&str] = if flags.contains(&"--limits") {
            &[]
        } else {
            &["--limits", "false"]
        };
        let log: &[&str] = if flags.contains(&"--log") {
            &[]
        } else {
            &["--log", "warn"]
        };
        let mut child = Command::new(env!("CARGO_BIN_EXE_motet"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .args(limits)
            .args(log)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(line) = lines.next() else {
            let _ended = child.wait();
            return None;
        };
        let line = line.unwrap();
        let address = line.strip_prefix("motet listening on http://").unwrap();
        let address = address.to_owned();
        Some(Self { child, address })
    }

    /// What the system says of its memory, in KiB: `VmRSS`, `VmHWM`.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.strip_prefix(':')?.trim().strip_suffix(" kB"));
        kib.unwrap().parse().unwrap()
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
        self.signal("-TERM");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
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
        request(&self.address, method, path, headers, body)
    }

    /// An account; returns its id and an access token.
    pub(crate) fn register(&self, name: &str) -> Account {
        let body = json!({
            "email": format!("{name}@example.com"), "password": PASSWORD, "name": name,
        });
        let (status, answer) = self.call("POST", "/api/v1/auth/register", None, Some(&body));
        assert_eq!(status, 201, "{answer}");
        Account::of(&answer)
    }

    /// Signs in to an account that is there already.
    pub(crate) fn sign_in(&self, name: &str) -> Account {
        let body = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        let (status, answer) = self.call("POST", "/api/v1/auth/login", None, Some(&body));
        assert_eq!(status, 200, "{answer}");
        Account::of(&answer)
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
            unheard: Unheard::default(),
        }
    }

    /// An event stream whatever it says.
    pub(crate) async fn listen(&self, document: &str, query: &str, token: &str) -> EventClient {
        let path = format!("/api/v1/documents/{document}/events?{query}");
        EventClient::open(&self.address, document, &path, token).await
    }

    /// An event stream that has joined the document.
    pub(crate) async fn listen_in(
        &self,
        account: &Account,
        document: &str,
        client: &str,
    ) -> (EventClient, Value) {
        let query = format!("clientId={client}");
        let mut client = self.listen(document, &query, &account.token).await;
        let state = client.expect("document_state").await;
        (client, state)
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

fn request(
    address: &str,
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
        .uri(format!("http://{address}{path}"));
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
    let body = response.body_mut().read_to_vec().unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    (response.status().as_u16(), response.headers().clone(), text)
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

impl Account {
    /// What a sign-in answered.
    pub(crate) fn of(answer: &Value) -> Self {
        let text = |field: &str| answer[field].as_str().unwrap().to_owned();
        Self {
            id: text("userId"),
            token: text("token"),
            refresh: text("refreshToken"),
        }
    }
}

/// Of every account.
pub(crate) const PASSWORD: &str = "a good password";

/// Makes an account on the command line; returns its id.
pub(crate) fn make_user(data: &Path, name: &str, flags: &[&str]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_motet"))
        .args(["user", "create", "--email"])
        .arg(format!("{name}@example.com"))
        .args(["--name", name, "--data-dir"])
        .arg(data)
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// One command of the command line; what it prints.
pub(crate) fn motet(data: &Path, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_motet"))
        .args(words)
        .arg("--data-dir")
        .arg(data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An administrator of the default organization.
pub(crate) fn administrator(data: &Path, name: &str) {
    make_user(data, name, &["--administrator"]);
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    unheard: Unheard,
}

/// What a socket gives.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Value),
    Closed(Option<u16>),
}

/// A client, whatever carries its frames.
pub(crate) trait Peer {
    async fn send_text(&mut self, text: String);

    async fn heard(&mut self) -> Heard;

    async fn send(&mut self, message: &Value) {
        self.send_text(message.to_string()).await;
    }

    async fn submit(&mut self, seq: u64, revision: u64, ops: Value) {
        let operation = json!({ "ops": ops });
        self.send(&json!({
            "type": "edit_operation", "seq": seq, "revision": revision, "operation": operation,
        }))
        .await;
    }

    /// The next message, or the end.
    async fn next(&mut self) -> Heard {
        // Pings are not what a test waits for.
        timeout(PATIENCE, self.heard())
            .await
            .expect("the server is silent")
    }

    /// The next message of this type; others are passed over, but not an end.
    async fn expect(&mut self, kind: &str) -> Value {
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

    /// The close code, whatever comes before.
    async fn closed(&mut self) -> Option<u16> {
        self.expect_close().await.1
    }

    /// The error's code and the close code that follow.
    async fn expect_close(&mut self) -> (Option<String>, Option<u16>) {
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
}

/// The messages of a frame, one after the other.
#[derive(Default)]
struct Unheard(VecDeque<Value>);

impl Unheard {
    fn frame(&mut self, text: &str) {
        match serde_json::from_str(text).unwrap() {
            Value::Array(messages) => self.0.extend(messages),
            message => self.0.push_back(message),
        }
    }
}

impl Peer for Client {
    async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    async fn heard(&mut self) -> Heard {
        loop {
            if let Some(message) = self.unheard.0.pop_front() {
                return Heard::Message(message);
            }
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => self.unheard.frame(&text),
                Some(Ok(Message::Close(frame))) => {
                    return Heard::Closed(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Closed(None),
            }
        }
    }
}

impl Client {
    /// Breaks the connection as a network does, without a farewell.
    pub(crate) fn reset(self) {
        if let MaybeTlsStream::Plain(socket) = self.socket.get_ref() {
            socket.set_zero_linger().unwrap();
        }
    }
}

/// A client that listens to an event stream and sends requests. Dropped, it is gone without a word.
pub(crate) struct EventClient {
    pub(crate) headers: hyper::HeaderMap,
    /// Where its frames go.
    pub(crate) address: String,
    document: String,
    pub(crate) token: String,
    events: Incoming,
    text: Vec<u8>,
    unheard: Unheard,
    /// The id of the connection, once it is known.
    pub(crate) connection: Option<String>,
    /// The number of the last frame.
    pub(crate) frame: u64,
}

impl EventClient {
    async fn open(address: &str, document: &str, path: &str, token: &str) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::get(path)
            .header("host", address)
            .header("authorization", format!("Bearer {token}"))
            .body(String::new())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            headers: response.headers().clone(),
            address: address.to_owned(),
            document: document.to_owned(),
            token: token.to_owned(),
            events: response.into_body(),
            text: Vec::new(),
            unheard: Unheard::default(),
            connection: None,
            frame: 0,
        }
    }

    /// Sends a frame under this number; returns the status, and the code of an error.
    pub(crate) fn post(&self, frame: u64, text: &str) -> (u16, Option<String>) {
        let connection = self.connection.as_deref().unwrap();
        let query = format!("connection={connection}&frame={frame}");
        self.post_to(&query, text)
    }

    pub(crate) fn post_to(&self, query: &str, text: &str) -> (u16, Option<String>) {
        let path = format!("/api/v1/documents/{}/messages?{query}", self.document);
        let headers = [("authorization", format!("Bearer {}", self.token))];
        let (status, _, answer) = request(&self.address, "POST", &path, &headers, Some(text));
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let code = answer["error"]["code"].as_str();
        (status, code.map(ToOwned::to_owned))
    }

    /// The next event, with its kind; `None` at the end. Comments are passed over.
    async fn event(&mut self) -> Option<(String, String)> {
        loop {
            let end = self.text.windows(2).position(|two| two == b"\n\n");
            let Some(end) = end else {
                let chunk = self.events.frame().await?.ok()?.into_data().unwrap();
                self.text.extend_from_slice(&chunk);
                continue;
            };
            let event: Vec<u8> = self.text.drain(..end + 2).collect();
            let event = String::from_utf8(event).unwrap();
            let field = |name: &str| {
                let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                lines.collect::<Vec<_>>().join("\n")
            };
            let data = field("data: ");
            if !data.is_empty() {
                return Some((field("event: "), data));
            }
        }
    }
}

impl Peer for EventClient {
    async fn send_text(&mut self, text: String) {
        self.frame += 1;
        assert_eq!(self.post(self.frame, &text), (204, None));
    }

    async fn heard(&mut self) -> Heard {
        loop {
            if let Some(message) = self.unheard.0.pop_front() {
                return Heard::Message(message);
            }
            let Some((kind, data)) = self.event().await else {
                return Heard::Closed(None);
            };
            let json: Value = serde_json::from_str(&data).unwrap();
            match kind.as_str() {
                "connection" => self.connection = json["connectionId"].as_str().map(Into::into),
                "close" => {
                    assert!(self.event().await.is_none(), "nothing follows a farewell");
                    return Heard::Closed(json["code"].as_u64().and_then(|it| it.try_into().ok()));
                }
                _ => self.unheard.frame(&data),
            }
        }
    }
}

//! One WebSocket: a reader that turns messages into commands, and a writer that sends what its
//! sessions' documents say. They share nothing but the list of sessions, so a client that does not
//! read can still be heard, and one that does not write is still served.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use motet_document::{Command, Selection, Submission};
use motet_log::DocumentLog;
use motet_model::{ClientId, DocumentId, Revision, limits};
use motet_protocol::{
    ErrorCode, close,
    ot::{self, Body, ClientMessage, Incoming, Refused, ServerMessage},
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use super::{
    Collab,
    session::{Next, Session, error},
};
use crate::auth::{Claims, TokenError};

/// How long a connection may take to authenticate.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the server asks whether the client is still there.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How often a connection tells its documents that it lives.
const HEARD_INTERVAL: Duration = Duration::from_secs(5);
/// A client of which nothing was heard for this long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// How long one frame may take to leave.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server waits for the client's side of the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most documents that one connection may join.
const DOCUMENTS_MAX: usize = 100;
/// Most bytes of answers that wait for a client which does not read them.
const ANSWERS_BYTES_MAX: usize = limits::OUTBOX_BYTES_MAX;

/// How a client opened its connection.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    /// The document of the path, on a connection that holds just one.
    pub(crate) document: Option<DocumentId>,
    /// The token of the query or the header.
    pub(crate) token: Option<String>,
    /// The client id of the query.
    pub(crate) client_id: Option<ClientId>,
    /// The revision of the query.
    pub(crate) revision: Option<Revision>,
    /// Path or query make no sense: say so and close.
    pub(crate) refused: Option<(ErrorCode, String)>,
}

/// What reader and writer share.
struct Shared {
    sessions: Mutex<HashMap<DocumentId, Arc<Session>>>,
    answers: Mutex<Answers>,
    /// Wakes the writer.
    writer: Arc<Notify>,
    /// Wakes the reader: the connection is to end.
    ended: Notify,
}

#[derive(Default)]
struct Answers {
    messages: Vec<(Option<DocumentId>, Body)>,
    size_bytes: usize,
    close: Option<u16>,
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, HashMap<DocumentId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a message. A client that asks without reading the answers is cut off.
    fn answer(&self, document: Option<DocumentId>, body: Body) {
        let mut answers = self.answers();
        answers.size_bytes += body.len();
        if answers.size_bytes > ANSWERS_BYTES_MAX {
            answers.close.get_or_insert(close::POLICY);
        } else {
            answers.messages.push((document, body));
        }
        drop(answers);
        self.writer.notify_one();
    }

    /// Ends the connection once the answers so far are sent.
    fn close(&self, code: u16) {
        self.answers().close.get_or_insert(code);
        self.writer.notify_one();
    }

    /// Tells the client why, and ends the connection.
    fn fail(&self, code: ErrorCode, message: &str) {
        self.answer(None, error(code, message, None));
        self.close(code.close_code().unwrap_or(close::BAD_REQUEST));
    }
}

/// Serves a connection until either side ends it.
pub(crate) async fn run(socket: WebSocket, collab: Arc<Collab>, opening: Opening) {
    let (sink, stream) = socket.split();
    let shared = Arc::new(Shared {
        sessions: Mutex::default(),
        answers: Mutex::default(),
        writer: Arc::new(Notify::new()),
        ended: Notify::new(),
    });
    let writer = Writer {
        sink,
        shared: Arc::clone(&shared),
        collab: Arc::clone(&collab),
    };
    let writer = tokio::spawn(writer.run());
    let single = opening.document;
    let mut reader = Reader {
        collab,
        shared: Arc::clone(&shared),
        single,
        claims: None,
    };
    reader.run(stream, opening).await;
    reader.leave_all().await;
    // A writer that panicked has been reported by the runtime.
    let _ended = writer.await;
}

struct Reader {
    collab: Arc<Collab>,
    shared: Arc<Shared>,
    single: Option<DocumentId>,
    claims: Option<Claims>,
}

impl Reader {
    async fn run(&mut self, mut stream: SplitStream<WebSocket>, mut opening: Opening) {
        if let Some((code, message)) = opening.refused.take() {
            self.shared.fail(code, &message);
        } else if let Some(token) = opening.token.take() {
            self.authenticate(&token, &mut opening).await;
        }
        let mut heard = interval(HEARD_INTERVAL);
        heard.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut draining = self.collab.draining.subscribe();
        let auth_deadline = Instant::now() + AUTH_TIMEOUT;
        let mut last_heard = Instant::now();
        let mut told_heard = last_heard;
        loop {
            let expiry = self.expiry().unwrap_or(auth_deadline);
            tokio::select! {
                biased;
                () = self.shared.ended.notified() => break,
                frame = stream.next() => {
                    last_heard = Instant::now();
                    match frame {
                        Some(Ok(Message::Text(text))) => self.frame(&text, &mut opening).await,
                        Some(Ok(Message::Binary(_))) => {
                            let message = "this dialect is spoken in text frames";
                            let body = error(ErrorCode::InvalidMessage, message, None);
                            self.shared.answer(None, body);
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_))) | None => {
                            self.shared.close(close::NORMAL);
                            break;
                        }
                        Some(Err(cause)) => {
                            self.broken(&cause).await;
                            return;
                        }
                    }
                }
                () = until(&mut draining) => {
                    self.shared.fail(ErrorCode::Unavailable, "the server restarts");
                    break;
                }
                () = sleep_until(expiry) => {
                    if self.claims.is_some() {
                        self.shared.fail(ErrorCode::TokenExpired, "the token has expired");
                    } else {
                        self.shared.fail(ErrorCode::Unauthenticated, "no token came in time");
                    }
                    break;
                }
                _ = heard.tick() => {
                    if last_heard.elapsed() > SILENCE {
                        self.shared.fail(ErrorCode::Silent, "nothing was heard for 60 s");
                        break;
                    }
                    if last_heard > told_heard {
                        told_heard = last_heard;
                        self.heard().await;
                    }
                }
            }
        }
        // The client's side of the closing handshake: dropping a socket with unread data would
        // reset the connection, and the client might never see why it was closed.
        let _late = timeout(CLOSE_TIMEOUT, async {
            while let Some(Ok(_)) = stream.next().await {}
        })
        .await;
    }

    /// The socket cannot be read any more: the client is gone, or has sent what is not allowed.
    async fn broken(&mut self, cause: &axum::Error) {
        let cause = std::error::Error::source(cause)
            .and_then(|cause| cause.downcast_ref::<tungstenite::Error>());
        if let Some(tungstenite::Error::Capacity(limit)) = cause {
            self.shared.fail(ErrorCode::TooLarge, &limit.to_string());
            // The rest of the frame is never read, so the client must have time to see the answer
            // before the connection is reset.
            tokio::time::sleep(CLOSE_TIMEOUT).await;
        } else {
            self.shared.close(close::NORMAL);
        }
    }

    fn expiry(&self) -> Option<Instant> {
        let claims = self.claims.as_ref()?;
        let left_ms = claims.expires_at_ms.saturating_sub(self.collab.now_ms());
        Some(Instant::now() + Duration::from_millis(left_ms))
    }

    async fn frame(&mut self, text: &str, opening: &mut Opening) {
        match ot::decode(text) {
            Ok(messages) => {
                for incoming in messages {
                    self.message(incoming, opening).await;
                }
            }
            Err(refused) => self.refuse(None, &refused),
        }
    }

    async fn message(&mut self, incoming: Incoming, opening: &mut Opening) {
        let Incoming { document, message } = incoming;
        let named = if self.single.is_some() {
            None
        } else {
            document
        };
        let message = match message {
            Ok(message) => message,
            Err(refused) => return self.refuse(named, &refused),
        };
        if let ClientMessage::Auth { token } = message {
            return self.authenticate(&token, opening).await;
        }
        if self.claims.is_none() {
            return self
                .shared
                .fail(ErrorCode::Unauthenticated, "the first message must be auth");
        }
        match message {
            ClientMessage::Join {
                document,
                client_id,
                revision,
            } => {
                self.join(document, client_id, revision).await;
            }
            ClientMessage::Ping => {
                self.shared
                    .answer(named, ot::encode(&ServerMessage::Pong {}));
            }
            message => match self.session(document) {
                Ok(session) => self.act(&session, message).await,
                Err(refused) => self.refuse(named, &refused),
            },
        }
    }

    /// The session that a message is about.
    fn session(&self, document: Option<DocumentId>) -> Result<Arc<Session>, Refused> {
        let refuse = |code, message: &str| Refused {
            code,
            message: message.to_owned(),
            seq: None,
        };
        let Some(document) = document.or(self.single) else {
            return Err(refuse(ErrorCode::InvalidMessage, "documentId is missing"));
        };
        let session = self.shared.sessions().get(&document).cloned();
        session.ok_or_else(|| refuse(ErrorCode::NotJoined, "this document was not joined"))
    }

    async fn act(&self, session: &Arc<Session>, message: ClientMessage) {
        let id = session.id;
        let command = match message {
            ClientMessage::Edit {
                seq,
                revision,
                operation,
            } => {
                session.used_seq(seq);
                let submission = Submission::new(revision, seq, operation);
                Command::Submit {
                    session: id,
                    submission,
                }
            }
            ClientMessage::ShortEdit { operation } => {
                session.started().await;
                let submission = Submission::new(session.sent(), session.next_seq(), operation);
                Command::Submit {
                    session: id,
                    submission,
                }
            }
            ClientMessage::Select {
                selection,
                revision,
            } => {
                if revision.is_none() {
                    session.started().await;
                }
                let selection = selection.map(|(anchor, head)| Selection { anchor, head });
                let revision = revision.unwrap_or_else(|| session.sent());
                Command::Select {
                    session: id,
                    selection,
                    revision,
                }
            }
            ClientMessage::Describe { data } => Command::Describe {
                session: id,
                data: data.map(Into::into),
            },
            ClientMessage::Leave => {
                self.shared.sessions().remove(&session.document);
                self.shared
                    .answer(session.name(), ot::encode(&ServerMessage::LeftDocument {}));
                if self.single.is_some() {
                    self.shared.close(close::NORMAL);
                }
                Command::Leave { session: id }
            }
            ClientMessage::Auth { .. } | ClientMessage::Join { .. } | ClientMessage::Ping => return,
        };
        session.tell(command).await;
    }

    /// Takes a token, and on a connection to one document joins that.
    async fn authenticate(&mut self, token: &str, opening: &mut Opening) {
        let claims = match self.collab.tokens.verify(token, self.collab.now_ms()) {
            Ok(claims) => claims,
            Err(TokenError::Expired) => {
                return self
                    .shared
                    .fail(ErrorCode::TokenExpired, "the token has expired");
            }
            Err(_) => {
                return self
                    .shared
                    .fail(ErrorCode::Unauthenticated, "the token is not valid");
            }
        };
        if self
            .claims
            .as_ref()
            .is_some_and(|before| before.user_id != claims.user_id)
        {
            let message = "the token is another user's";
            return self.shared.fail(ErrorCode::Unauthenticated, message);
        }
        let expires_at = crate::clock::rfc3339(claims.expires_at_ms);
        let authenticated = ServerMessage::Authenticated {
            user_id: claims.user_id,
            expires_at: &expires_at,
        };
        self.shared.answer(None, ot::encode(&authenticated));
        self.claims = Some(claims);
        if let Some(document) = opening.document.take() {
            self.join(document, opening.client_id.take(), opening.revision.take())
                .await;
        }
    }

    async fn join(
        &mut self,
        document: DocumentId,
        client_id: Option<ClientId>,
        from: Option<Revision>,
    ) {
        let named = self.single.is_none().then_some(document);
        let Some(claims) = &self.claims else { return };
        let count = {
            let sessions = self.shared.sessions();
            if sessions.contains_key(&document) {
                usize::MAX
            } else {
                sessions.len()
            }
        };
        let refused = match (count, self.single) {
            (_, Some(single)) if single != document => Some(ErrorCode::TooManyDocuments),
            (usize::MAX, _) => Some(ErrorCode::AlreadyJoined),
            (DOCUMENTS_MAX.., _) => Some(ErrorCode::TooManyDocuments),
            _ => None,
        };
        if let Some(code) = refused {
            let message = match code {
                ErrorCode::AlreadyJoined => "this connection has joined this document",
                _ => "this connection may join no more documents",
            };
            return self.shared.answer(named, error(code, message, None));
        }
        let writer = Arc::clone(&self.shared.writer);
        let joining = self
            .collab
            .join(claims, document, client_id, from, named.is_some(), writer);
        let registered = |session| {
            self.shared.sessions().insert(document, session);
            // The answer may have come before the writer could know the session.
            self.shared.writer.notify_one();
        };
        if let Err(code) = joining.await.map(registered) {
            let message = match code {
                ErrorCode::NotFound => "there is no such document",
                _ => "the document cannot be opened now",
            };
            match named {
                Some(_) => self.shared.answer(named, error(code, message, None)),
                None => self.shared.fail(code, message),
            }
        }
    }

    fn refuse(&self, named: Option<DocumentId>, refused: &Refused) {
        self.shared
            .answer(named, error(refused.code, &refused.message, refused.seq));
    }

    async fn heard(&self) {
        let sessions: Vec<_> = self.shared.sessions().values().cloned().collect();
        for session in sessions {
            session
                .tell(Command::Heard {
                    session: session.id,
                })
                .await;
        }
    }

    async fn leave_all(&self) {
        let sessions: Vec<_> = self.shared.sessions().drain().collect();
        for (_, session) in sessions {
            session
                .tell(Command::Leave {
                    session: session.id,
                })
                .await;
        }
    }
}

/// Waits until the server drains.
async fn until(draining: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server does.
    let _gone = draining.wait_for(|draining| *draining).await.map(drop);
}

struct Writer {
    sink: SplitSink<WebSocket, Message>,
    shared: Arc<Shared>,
    collab: Arc<Collab>,
}

/// The connection cannot be written to any more.
struct Gone;

impl Writer {
    async fn run(mut self) {
        let mut ping = interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let writer = Arc::clone(&self.shared.writer);
        loop {
            tokio::select! {
                () = writer.notified() => match self.flush().await {
                    Ok(None) => {}
                    Ok(Some(code)) => {
                        let frame = CloseFrame { code, reason: "".into() };
                        // Nothing is left to do for a client that does not take it.
                        let _gone = self.send(Message::Close(Some(frame))).await;
                        break;
                    }
                    Err(Gone) => break,
                },
                _ = ping.tick() => {
                    if self.send(Message::Ping(Vec::new().into())).await.is_err() {
                        break;
                    }
                }
            }
        }
        self.shared.ended.notify_one();
    }

    /// Sends all that waits. Returns the close code once there is one.
    async fn flush(&mut self) -> Result<Option<u16>, Gone> {
        // Answers first: a client learns that it is authenticated before it is sent a document.
        let (mut messages, mut close) = {
            let mut answers = self.shared.answers();
            answers.size_bytes = 0;
            (std::mem::take(&mut answers.messages), answers.close)
        };
        let sessions: Vec<_> = self.shared.sessions().values().cloned().collect();
        let mut follow = Vec::new();
        for session in sessions {
            let taken = session.outbox.take();
            let mut next = if taken.behind {
                Next::CatchUp
            } else {
                Next::Rest
            };
            for event in taken.events {
                match session.render(event, &mut messages) {
                    Next::Rest => {}
                    more => next = more,
                }
            }
            if let Some(code) = taken.closed {
                self.end(&session, code, &mut messages, &mut close);
            } else if next != Next::Rest {
                follow.push((session, next));
            }
        }
        self.send_messages(&messages).await?;
        for (session, next) in follow {
            self.catch_up(&session, next).await?;
        }
        Ok(close)
    }

    /// A document has ended a session: the client is told, and on a connection to just that
    /// document the connection ends too.
    fn end(
        &self,
        session: &Arc<Session>,
        code: ErrorCode,
        messages: &mut Vec<(Option<DocumentId>, Body)>,
        close: &mut Option<u16>,
    ) {
        self.shared.sessions().remove(&session.document);
        session.end();
        messages.push((session.name(), error(code, message_for(code), None)));
        if !session.named {
            close.get_or_insert(code.close_code().unwrap_or(close::BAD_REQUEST));
        }
    }

    /// Asks the document to go on where the client is, after what is only in the log has been sent.
    /// The socket paces it: a step is read when the one before has left.
    async fn catch_up(&mut self, session: &Session, next: Next) -> Result<(), Gone> {
        if let Next::ReadLog { through } = next {
            let log = Arc::clone(&self.collab.registry.shared().log);
            while session.sent() < through {
                let after = session.sent();
                let changes = log
                    .read(session.document, after, limits::CATCH_UP_BYTES_MAX)
                    .await;
                let changes = match changes {
                    Ok(changes) if !changes.is_empty() => changes,
                    _ => {
                        // The document finds out for itself, and says more.
                        session.outbox.close(ErrorCode::Unavailable);
                        return Ok(());
                    }
                };
                let mut messages = Vec::with_capacity(changes.len());
                session.render_log(&changes, &mut messages);
                self.send_messages(&messages).await?;
            }
        }
        session
            .tell(Command::CatchUp {
                session: session.id,
                after: session.sent(),
            })
            .await;
        Ok(())
    }

    async fn send_messages(&mut self, messages: &[(Option<DocumentId>, Body)]) -> Result<(), Gone> {
        if messages.is_empty() {
            return Ok(());
        }
        let Ok(text) = String::from_utf8(ot::frame(messages)) else {
            return Err(Gone);
        };
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(SEND_TIMEOUT, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }
}

fn message_for(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NotFound => "the document was deleted",
        ErrorCode::DocumentFull => "the document has as many sessions as it may have",
        ErrorCode::Forbidden => "access to the document was taken away",
        ErrorCode::Replaced => "another connection took over this client id",
        ErrorCode::RevisionAhead => "the document has not reached this revision",
        ErrorCode::Unavailable => "the document is not available for a moment: come back",
        _ => "a fault of the server",
    }
}

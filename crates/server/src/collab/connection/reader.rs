//! The half of a connection that hears the client.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt};
use motet_document::{Command, Selection, Start, Submission};
use motet_model::{ClientId, DocumentId, limits};
use motet_protocol::{
    ErrorCode, close,
    ot::{self, ClientMessage, Incoming, Refused, ServerMessage},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};

use super::{Broken, Frame, Opening, Shared};
use crate::{
    auth::{Claims, TokenError},
    collab::{
        Collab,
        session::{Session, error},
    },
};

/// How long a connection may take to authenticate.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a connection tells its documents that it lives.
const HEARD_INTERVAL: Duration = Duration::from_secs(5);
/// A client of which nothing was heard for this long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the server waits for the client's side of the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most documents that one connection may join.
const DOCUMENTS_MAX: usize = 100;

pub(super) struct Reader {
    pub(super) collab: Arc<Collab>,
    pub(super) shared: Arc<Shared>,
    /// The document of a connection that holds just one.
    pub(super) single: Option<DocumentId>,
    /// Who the client is, once that is known.
    pub(super) claims: Option<Claims>,
}

impl Reader {
    /// Hears the client until either side ends the connection, and waits for its side of the closing
    /// handshake.
    pub(super) async fn run(
        &mut self,
        mut frames: impl Stream<Item = Result<Frame, Broken>> + Unpin,
        opening: Opening,
    ) {
        let shared = Arc::clone(&self.shared);
        let broken = tokio::select! {
            () = shared.ended.cancelled() => None,
            broken = self.hear(&mut frames, opening) => broken,
        };
        if let Some(cause) = broken {
            return self.broken(cause).await;
        }
        // Dropping a socket with unread data would reset the connection, and the client might never
        // see why it was closed.
        let rest = async { while let Some(Ok(_)) = frames.next().await {} };
        let late = async {
            shared.ended.cancelled().await;
            sleep(CLOSE_TIMEOUT).await;
        };
        tokio::select! {
            () = rest => {}
            () = late => {}
        }
    }

    /// Takes what the client says until the connection is to end; returns why if it broke.
    async fn hear(
        &mut self,
        frames: &mut (impl Stream<Item = Result<Frame, Broken>> + Unpin),
        mut opening: Opening,
    ) -> Option<Broken> {
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
            // A client that always has something to say must not outlive what ends a connection:
            // its frames come last.
            tokio::select! {
                biased;
                () = until(&mut draining) => {
                    self.shared.fail(ErrorCode::Unavailable, "the server restarts");
                    return None;
                }
                () = reached(expiry) => {
                    if self.claims.is_some() {
                        self.shared.fail(ErrorCode::TokenExpired, "the token has expired");
                    } else {
                        self.shared.fail(ErrorCode::Unauthenticated, "no token came in time");
                    }
                    return None;
                }
                _ = heard.tick() => {
                    if last_heard.elapsed() > SILENCE {
                        self.shared.fail(ErrorCode::Silent, "nothing was heard for 60 s");
                        return None;
                    }
                    if last_heard > told_heard {
                        told_heard = last_heard;
                        self.heard().await;
                    }
                }
                frame = frames.next() => {
                    last_heard = Instant::now();
                    match frame {
                        Some(Ok(Frame::Text(text))) => self.frame(&text, &mut opening).await,
                        Some(Ok(Frame::Binary(_))) => {
                            let message = "this dialect is spoken in text frames";
                            let body = error(ErrorCode::InvalidMessage, message, None);
                            self.shared.answer(None, body);
                        }
                        Some(Ok(Frame::Ping | Frame::Pong)) => {}
                        Some(Ok(Frame::Close(_))) | None => {
                            self.shared.close(close::NORMAL);
                            return None;
                        }
                        Some(Err(cause)) => return Some(cause),
                    }
                }
            }
        }
    }

    /// The client cannot be heard any more: it is gone, or has sent what is not allowed.
    async fn broken(&mut self, cause: Broken) {
        match cause {
            Broken::TooLarge(limit) => {
                self.shared.fail(ErrorCode::TooLarge, &limit);
                // The rest of the frame is never read, so the client must have time to see the
                // answer before the connection is reset.
                sleep(CLOSE_TIMEOUT).await;
            }
            Broken::Gone => self.shared.close(close::NORMAL),
        }
    }

    fn expiry(&self) -> Option<Instant> {
        let claims = self.claims.as_ref()?;
        let left_ms = claims.expires_at_ms.saturating_sub(self.collab.now_ms());
        Some(Instant::now() + Duration::from_millis(left_ms))
    }

    async fn frame(&mut self, text: &str, opening: &mut Opening) {
        if self.claims.is_none() && text.len() > limits::UNAUTHENTICATED_BYTES_MAX {
            let message = "a frame of this size needs authentication first";
            return self.shared.fail(ErrorCode::TooLarge, message);
        }
        match ot::decode(text) {
            Ok(mut messages) => {
                // What follows the message that ends a connection is not even read.
                while !self.shared.is_closing()
                    && let Some(incoming) = messages.next()
                {
                    self.message(incoming, opening).await;
                }
            }
            Err(refused) if refused.code == ErrorCode::TooLarge => {
                self.shared.fail(refused.code, &refused.message);
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
        if self.claims.is_none() && !matches!(message, Ok(ClientMessage::Auth { .. })) {
            return self
                .shared
                .fail(ErrorCode::Unauthenticated, "the first message must be auth");
        }
        let message = match message {
            Ok(message) => message,
            Err(refused) => return self.refuse(named, &refused),
        };
        if let ClientMessage::Auth { token } = message {
            return self.authenticate(&token, opening).await;
        }
        match message {
            ClientMessage::Join {
                document,
                client_id,
                revision,
                pending,
            } => {
                let start = revision.map_or(Start::Text, |revision| Start::Revision {
                    revision,
                    pending,
                });
                self.join(document, client_id, start).await;
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
                let submission = Submission::new(revision, seq, operation);
                Command::Submit {
                    session: id,
                    submission,
                }
            }
            ClientMessage::ShortEdit { operation } => {
                session.started().await;
                let submission = Submission::unnumbered(session.sent(), operation);
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
                session.tell(Command::Leave { session: id }).await;
                // What the client says next must not meet the session: it may join anew.
                return session.ended().await;
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
            self.join(document, opening.client_id.take(), opening.start)
                .await;
        }
    }

    async fn join(&mut self, document: DocumentId, client_id: Option<ClientId>, start: Start) {
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
            .join(claims, document, client_id, start, named.is_some(), writer);
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
}

/// Waits until the deadline, and not at all if it is past: a timer that is made anew for each frame
/// would never be given the time to fire.
async fn reached(deadline: Instant) {
    if Instant::now() < deadline {
        sleep_until(deadline).await;
    }
}

/// Waits until the server drains.
async fn until(draining: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server does.
    let _gone = draining.wait_for(|draining| *draining).await.map(drop);
}

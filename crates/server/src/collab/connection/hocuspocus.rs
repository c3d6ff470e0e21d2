//! Hocuspocus: several documents on one socket, each authenticated by itself.
//!
//! A client looks at no close code and comes back at once whatever it was told, so a document is refused,
//! and given up, by a message; the socket stays. What a client says of a document before it has told who
//! it is waits, within bounds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use motet_catalog::Role;
use motet_document::Start;
use motet_model::{DocumentId, limits};
use motet_protocol::{
    ErrorCode, close,
    yjs::hocuspocus::{self, Said},
};
use tokio::time::Instant;

use super::{
    Frame, Opening, Shared,
    reader::Listener,
    yjs::{refusal, take},
};
use crate::{
    auth::Principal,
    collab::{
        Collab, Joining,
        session::{Key, Message, Session, Speech},
    },
};

/// Most documents on one connection.
const DOCUMENTS_MAX: usize = 100;
/// How long a client may take to tell who it is.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may have no document.
const UNUSED_TIMEOUT: Duration = Duration::from_secs(60);
/// How long before a token's end the client is asked for another.
const RENEWAL: Duration = Duration::from_secs(30);

pub(super) struct Hocuspocus {
    collab: Arc<Collab>,
    shared: Arc<Shared>,
    address: Arc<str>,
    /// By what the client calls the document.
    channels: HashMap<Arc<str>, Channel>,
    /// Of all frames that wait.
    waiting_bytes: usize,
    waiting: usize,
    /// Since when no document is joined, if none is.
    unused_since: Instant,
}

/// What the client says about one document.
enum Channel {
    /// It has not told who it is. What it has said waits, until then or until it is given up.
    Waiting { frames: Vec<Bytes>, until: Instant },
    /// It was refused, and may try again.
    Denied,
    /// It is let in.
    Open {
        principal: Arc<Principal>,
        /// It has been asked for another token.
        asked: bool,
    },
}

impl Hocuspocus {
    pub(super) fn new(collab: Arc<Collab>, shared: Arc<Shared>, opening: Opening) -> Self {
        Self {
            collab,
            shared,
            address: opening.address,
            channels: HashMap::new(),
            waiting_bytes: 0,
            waiting: 0,
            unused_since: Instant::now(),
        }
    }

    /// Whether the client has joined a document.
    fn is_used(&self) -> bool {
        let is_open = |channel: &Channel| matches!(channel, Channel::Open { .. });
        self.channels.values().any(is_open)
    }

    fn say(&self, name: &str, body: &[u8]) {
        let frame = hocuspocus::frame(&hocuspocus::prefix(name), body);
        self.shared.answer(Message::Binary(frame));
    }

    /// The client is told that this document is not for it, and what waits for that is dropped.
    fn deny(&mut self, name: &str, code: ErrorCode, message: &str) {
        let reason = format!("{code}: {message}");
        self.say(name, &hocuspocus::permission_denied(&reason));
        self.forget(name);
        if self.channels.len() < DOCUMENTS_MAX {
            self.channels.insert(name.into(), Channel::Denied);
        }
    }

    /// Ends what there is about a document, without a word.
    fn forget(&mut self, name: &str) {
        match self.channels.remove(name) {
            Some(Channel::Waiting { frames, .. }) => {
                self.waiting -= frames.len();
                self.waiting_bytes -= frames.iter().map(Bytes::len).sum::<usize>();
            }
            Some(Channel::Open { .. }) => {
                self.unused_since = Instant::now();
                // Its document learns of it when the last hold on it is gone.
                self.shared.sessions().remove(&Key::Name(name.into()));
            }
            Some(Channel::Denied) | None => {}
        }
    }

    async fn frame(&mut self, frame: Bytes) {
        let (name, said) = match hocuspocus::decode(&frame) {
            Ok(hocuspocus::Frame::Ping) => {
                let pong = Message::Binary(hocuspocus::pong());
                return self.shared.answer(pong);
            }
            Ok(hocuspocus::Frame::Pong) => return,
            Ok(hocuspocus::Frame::About(name, said)) => (name, said),
            Err((Some(name), error)) if self.channels.contains_key(name) => {
                let message = error.to_string();
                return self.deny(name, ErrorCode::InvalidMessage, &message);
            }
            Err((_, error)) => {
                return self.fail(ErrorCode::InvalidMessage, &error.to_string());
            }
        };
        match said {
            Said::Auth(token, _) => self.authenticate(name, token).await,
            Said::Close => self.forget(name),
            Said::Stateless => {}
            Said::Message(message) => match self.session(name) {
                Some(session) => {
                    let space = self.collab.space(frame.len()).await;
                    if let Err(error) = take(&self.shared, &session, message, space).await {
                        let message = error.to_string();
                        self.deny(name, ErrorCode::InvalidMessage, &message);
                    }
                }
                None => self.wait(name, frame.clone()),
            },
        }
    }

    /// The session of a document that the client has joined. One that its document has ended leaves a
    /// client behind that has been told so.
    fn session(&mut self, name: &str) -> Option<Arc<Session>> {
        let Some(Channel::Open { .. }) = self.channels.get(name) else {
            return None;
        };
        let session = self.shared.session(&Key::Name(name.into()));
        if session.is_none() {
            self.channels.insert(name.into(), Channel::Denied);
        }
        session
    }

    /// Keeps what is said about a document until its client has told who it is.
    fn wait(&mut self, name: &str, frame: Bytes) {
        let over = self.waiting_bytes + frame.len() > limits::UNAUTHENTICATED_QUEUE_BYTES_MAX
            || self.waiting >= limits::UNAUTHENTICATED_QUEUE_MAX;
        if !self.channels.contains_key(name) && self.channels.len() >= DOCUMENTS_MAX {
            return self.deny_unknown(name);
        }
        if over {
            let message = "too much was said before authentication";
            return self.deny(name, ErrorCode::TooLarge, message);
        }
        let channel = self.channels.entry(name.into()).or_insert(Channel::Denied);
        if matches!(channel, Channel::Denied) {
            *channel = Channel::Waiting {
                frames: Vec::new(),
                until: Instant::now() + AUTH_TIMEOUT,
            };
        }
        if let Channel::Waiting { frames, .. } = channel {
            self.waiting += 1;
            self.waiting_bytes += frame.len();
            // What it was cut from is not kept for it.
            frames.push(Bytes::copy_from_slice(&frame));
        }
    }

    /// There are too many documents to remember one more.
    fn deny_unknown(&self, name: &str) {
        let code = ErrorCode::TooManyDocuments;
        let reason = format!("{code}: this connection may join no more documents");
        self.say(name, &hocuspocus::permission_denied(&reason));
    }

    async fn authenticate(&mut self, name: &str, token: &str) {
        self.shared.submitted();
        let epoch = self.collab.epoch();
        let principal = match self.collab.authenticate(token).await {
            Ok(principal) => principal,
            Err(code @ ErrorCode::Unavailable) => return self.fail(code, refusal(code)),
            Err(code) => return self.deny(name, code, refusal(code)),
        };
        if let Some(session) = self.session(name)
            && let Some(Channel::Open {
                principal: before,
                asked,
            }) = self.channels.get_mut(name)
        {
            if before.user != principal.user {
                let message = "the token is another user's";
                return self.deny(name, ErrorCode::Unauthenticated, message);
            }
            (*before, *asked) = (Arc::clone(&principal), false);
            return self.collab.renewed([session], &principal).await;
        }
        if !self.channels.contains_key(name) && self.channels.len() >= DOCUMENTS_MAX {
            return self.deny_unknown(name);
        }
        // With a session of the provider behind it, two of a page's providers share a document.
        let document = name.split('\0').next().unwrap_or_default();
        let Ok(document) = document.parse::<DocumentId>() else {
            return self.deny(name, ErrorCode::NotFound, refusal(ErrorCode::NotFound));
        };
        let writer = Arc::clone(&self.shared.writer);
        let (start, speech) = (Start::Identities, Speech::hocuspocus(name));
        let joining = self.collab.join(Joining {
            principal: &principal,
            address: &self.address,
            document,
            client_id: None,
            start,
            speech,
            writer,
            noted: true,
            gone: None,
            as_of: Some(epoch),
        });
        let session = match joining.await {
            Ok(session) => session,
            Err(code @ ErrorCode::Unavailable) => return self.fail(code, refusal(code)),
            Err(code) => return self.deny(name, code, refusal(code)),
        };
        let waited = match self.channels.remove(name) {
            Some(Channel::Waiting { frames, .. }) => frames,
            _ => Vec::new(),
        };
        self.waiting -= waited.len();
        self.waiting_bytes -= waited.iter().map(Bytes::len).sum::<usize>();
        // It is told before the writer may speak for the session.
        self.say(
            name,
            &hocuspocus::authenticated(session.role() >= Role::Editor),
        );
        let channel = Channel::Open {
            principal,
            asked: false,
        };
        self.channels.insert(name.into(), channel);
        self.shared.register(session);
        for frame in waited {
            Box::pin(self.frame(frame)).await;
        }
    }

    /// When something is due about a document, and its name.
    fn next_due(&self) -> Option<(Instant, Arc<str>)> {
        let due = |channel: &Channel| match channel {
            Channel::Waiting { until, .. } => Some(*until),
            Channel::Denied => None,
            Channel::Open { principal, asked } => {
                let expiry = self.collab.instant(principal.credential.expires_at_ms()?);
                Some(if *asked {
                    expiry
                } else {
                    expiry.checked_sub(RENEWAL).unwrap_or(expiry)
                })
            }
        };
        self.channels
            .iter()
            .filter_map(|(name, channel)| Some((due(channel)?, Arc::clone(name))))
            .min_by_key(|(at, _)| *at)
    }
}

impl Listener for Hocuspocus {
    fn collab(&self) -> &Arc<Collab> {
        &self.collab
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    async fn open(&mut self) {}

    async fn hear(&mut self, frame: Frame) {
        let Frame::Binary(bytes) = frame else {
            let message = "this dialect is spoken in binary frames";
            return self.fail(ErrorCode::InvalidMessage, message);
        };
        if bytes.len() > limits::UNAUTHENTICATED_QUEUE_BYTES_MAX && !self.is_used() {
            let message = "a frame of this size needs authentication first";
            return self.fail(ErrorCode::TooLarge, message);
        }
        self.frame(bytes).await;
    }

    fn due(&self) -> Option<Instant> {
        let unused = (!self.is_used()).then_some(self.unused_since + UNUSED_TIMEOUT);
        let due = self.next_due().map(|(at, _)| at);
        unused.into_iter().chain(due).min()
    }

    async fn fall_due(&mut self) {
        if !self.is_used() && Instant::now() >= self.unused_since + UNUSED_TIMEOUT {
            return self.fail(ErrorCode::Unauthenticated, "no document was joined");
        }
        let Some((_, name)) = self.next_due() else {
            return;
        };
        match self.channels.get_mut(&name) {
            Some(Channel::Open { asked, .. }) if !*asked => {
                *asked = true;
                self.say(&name, &hocuspocus::ask_token());
            }
            Some(Channel::Open { .. }) => {
                self.deny(&name, ErrorCode::TokenExpired, "the token has expired");
            }
            Some(Channel::Waiting { .. }) => {
                let message = "no token came in time";
                self.deny(&name, ErrorCode::Unauthenticated, message);
            }
            Some(Channel::Denied) | None => {}
        }
    }

    fn fail(&self, code: ErrorCode, _message: &str) {
        self.shared.close(match code {
            ErrorCode::TooLarge => close::DOCUMENT_TOO_LARGE,
            code => code.close_code().unwrap_or(close::BAD_REQUEST),
        });
    }
}

//! y-websocket: one document, and what all dialects of identities have in common.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use motet_crdt::{DecodeError, SyncMessage, decode_awareness, decode_state_vector};
use motet_document::{AwarenessState, Command, Start};
use motet_model::limits;
use motet_protocol::{ErrorCode, close, yjs};
use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::{Frame, Opening, Shared, reader::Listener};
use crate::{
    auth::{Claims, TokenError},
    collab::{
        Collab,
        session::{Key, Message, Receipt, Session, Speech},
    },
};

/// How long a client that is refused is left alone, unless it speaks: one that tries again whenever it was
/// let in must not do so at once.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// One document's connection.
pub(super) struct YWebsocket {
    collab: Arc<Collab>,
    shared: Arc<Shared>,
    opening: Opening,
    claims: Option<Claims>,
    /// The client is not let in; why, and when it is told.
    refused: Option<(ErrorCode, String, Instant)>,
}

impl YWebsocket {
    pub(super) fn new(collab: Arc<Collab>, shared: Arc<Shared>, opening: Opening) -> Self {
        Self {
            collab,
            shared,
            opening,
            claims: None,
            refused: None,
        }
    }

    fn refuse(&mut self, code: ErrorCode, message: &str) {
        let at = Instant::now() + REFUSAL_DELAY;
        self.refused = Some((code, message.to_owned(), at));
    }

    fn session(&self) -> Option<Arc<Session>> {
        let document = self.opening.document?;
        self.shared.session(&Key::Document(document))
    }
}

impl Listener for YWebsocket {
    fn collab(&self) -> &Arc<Collab> {
        &self.collab
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    async fn open(&mut self) {
        if let Some((code, message)) = self.opening.refused.take() {
            return self.refuse(code, &message);
        }
        let token = self.opening.token.take().unwrap_or_default();
        let claims = match claims(&self.collab, &token) {
            Ok(claims) => claims,
            Err((code, message)) => return self.refuse(code, message),
        };
        let Some(document) = self.opening.document else {
            return;
        };
        let writer = Arc::clone(&self.shared.writer);
        let (start, speech) = (Start::Identities, Speech::y_websocket());
        let joining = self
            .collab
            .join(&claims, document, None, start, speech, writer);
        match joining.await {
            Ok(session) => {
                self.claims = Some(claims);
                self.shared.register(session);
            }
            Err(code) => self.refuse(code, refusal(code)),
        }
    }

    async fn hear(&mut self, frame: Frame) {
        if let Some((code, message, _)) = self.refused.take() {
            return self.fail(code, &message);
        }
        let Frame::Binary(bytes) = frame else {
            let message = "this dialect is spoken in binary frames";
            return self.fail(ErrorCode::InvalidMessage, message);
        };
        // It may have ended a moment ago.
        let Some(session) = self.session() else {
            return;
        };
        let heard = match yjs::decode(&bytes) {
            Ok(message) => take(&session, message).await,
            Err(error) => Err(error),
        };
        if let Err(error) = heard {
            self.fail(ErrorCode::InvalidMessage, &error.to_string());
        }
    }

    fn due(&self) -> Option<Instant> {
        if let Some((_, _, at)) = &self.refused {
            return Some(*at);
        }
        let claims = self.claims.as_ref()?;
        Some(self.collab.instant(claims.expires_at_ms))
    }

    async fn fall_due(&mut self) {
        match self.refused.take() {
            Some((code, message, _)) => self.fail(code, &message),
            None => self.fail(ErrorCode::TokenExpired, "the token has expired"),
        }
    }

    fn fail(&self, code: ErrorCode, message: &str) {
        let reason = yjs::denied(&format!("{code}: {message}"));
        self.shared.answer(Message::Binary(reason));
        self.shared.close(match code {
            // A client of this dialect would send it again and again, were it not told to stop.
            ErrorCode::TooLarge => close::DOCUMENT_TOO_LARGE,
            code => code.close_code().unwrap_or(close::BAD_REQUEST),
        });
    }
}

/// Whose a token is, or what to say of it.
pub(super) fn claims(collab: &Collab, token: &str) -> Result<Claims, (ErrorCode, &'static str)> {
    let verified = collab.tokens.verify(token, collab.now_ms());
    verified.map_err(|error| match error {
        TokenError::Expired => (ErrorCode::TokenExpired, "the token has expired"),
        _ => (ErrorCode::Unauthenticated, "the token is not valid"),
    })
}

/// For people: why a document cannot be joined.
pub(super) fn refusal(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NotFound => "there is no such document",
        _ => "the document cannot be opened now",
    }
}

/// Gives the document what a client says about it.
pub(super) async fn take(
    session: &Arc<Session>,
    message: yjs::Message<'_>,
) -> Result<(), DecodeError> {
    let Speech::Yjs(speech) = &session.speech else {
        return Ok(());
    };
    let id = session.id;
    let command = match message {
        yjs::Message::Sync(SyncMessage::Step1(state_vector)) => {
            if state_vector.len() > limits::STATE_VECTOR_BYTES_MAX {
                return Err(DecodeError::TooLarge);
            }
            let state_vector = decode_state_vector(state_vector)?;
            speech.restart();
            Command::Sync {
                session: id,
                state_vector,
            }
        }
        yjs::Message::Sync(SyncMessage::Step2(update)) => {
            speech.expect(Receipt::Step2);
            update_of(session, update)
        }
        yjs::Message::Sync(SyncMessage::Update(update)) => {
            speech.expect(Receipt::Update);
            update_of(session, update)
        }
        yjs::Message::Awareness(update) => {
            if update.len() > limits::AWARENESS_BYTES_MAX {
                return Err(DecodeError::TooLarge);
            }
            let entries = decode_awareness(update)?;
            if !entries.iter().all(|it| is_json(it.state)) {
                let what = "a state of the awareness is not JSON";
                return Err(DecodeError::Malformed {
                    at: update.len(),
                    what,
                });
            }
            let states = entries.into_iter().map(|it| AwarenessState {
                client: it.client,
                clock: it.clock,
                state: (it.state != "null").then(|| it.state.into()),
            });
            Command::Awareness {
                session: id,
                states: states.collect(),
            }
        }
        yjs::Message::QueryAwareness => Command::AskPresence { session: id },
        yjs::Message::Unknown(_) => return Ok(()),
    };
    session.tell(command).await;
    Ok(())
}

/// Clients of Yjs drop a whole message, with what others say in it, over one state that they cannot
/// parse. As for them, half of a surrogate pair is fine.
fn is_json(state: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(state).is_ok()
}

fn update_of(session: &Session, update: &[u8]) -> Command {
    Command::Update {
        session: session.id,
        update: Bytes::copy_from_slice(update),
    }
}

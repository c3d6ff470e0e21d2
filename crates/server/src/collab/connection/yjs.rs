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
    auth::Principal,
    collab::{
        Collab, Joining,
        room::Space,
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
    principal: Option<Arc<Principal>>,
    /// The client is not let in; why, and when it is told.
    refused: Option<(ErrorCode, String, Instant)>,
}

impl YWebsocket {
    pub(super) fn new(collab: Arc<Collab>, shared: Arc<Shared>, opening: Opening) -> Self {
        Self {
            collab,
            shared,
            opening,
            principal: None,
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
        let epoch = self.collab.epoch();
        let principal = match self.collab.authenticate(&token).await {
            Ok(principal) => principal,
            Err(code) => return self.refuse(code, refusal(code)),
        };
        let Some(document) = self.opening.document else {
            return;
        };
        let writer = Arc::clone(&self.shared.writer);
        let (start, speech) = (Start::Identities, Speech::y_websocket());
        let joining = self.collab.join(Joining {
            principal: &principal,
            address: &self.opening.address,
            document,
            client_id: None,
            start,
            speech,
            writer,
            noted: true,
            gone: None,
            as_of: Some(epoch),
        });
        match joining.await {
            Ok(session) => {
                self.principal = Some(principal);
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
            Ok(message) => {
                let space = self.collab.space(bytes.len()).await;
                take(&self.shared, &session, message, space).await
            }
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
        let credential = &self.principal.as_ref()?.credential;
        Some(self.collab.instant(credential.expires_at_ms()?))
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

/// For people: why a document cannot be joined.
pub(super) fn refusal(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NotFound => "there is no such document",
        ErrorCode::TokenExpired => "the token has expired",
        ErrorCode::Unauthenticated => "the token is not valid",
        ErrorCode::Forbidden => "the account or key does not allow this",
        ErrorCode::TooManySessions => "this user has as many sessions as one may have",
        _ => "the document cannot be opened now",
    }
}

/// Gives the document what a client says about it.
pub(super) async fn take(
    shared: &Shared,
    session: &Arc<Session>,
    message: yjs::Message<'_>,
    space: Option<Space>,
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
            shared.submitted();
            speech.expect(Receipt::Step2);
            update_of(session, update)
        }
        yjs::Message::Sync(SyncMessage::Update(update)) => {
            shared.submitted();
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
    session.tell_large(command, space).await;
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

//! The dialect of positions: JSON in text frames.

use std::{sync::Arc, time::Duration};

use motet_document::{Command, Selection, Start, Submission};
use motet_model::{ClientId, DocumentId, limits};
use motet_protocol::{
    ErrorCode, close,
    ot::{self, Body, ClientMessage, Incoming, Piece, Refused, ServerMessage},
};
use tokio::time::Instant;

use super::{Frame, Opening, Shared, reader::Listener, yjs::refusal};
use crate::{
    auth::Principal,
    clock::rfc3339,
    collab::{
        Collab, Joining,
        room::Space,
        session::{Key, Message, Positions, Session, Speech, error},
    },
};

/// How long a connection may take to authenticate.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// Most documents that one connection may join.
const DOCUMENTS_MAX: usize = 100;

pub(super) struct Ot {
    collab: Arc<Collab>,
    shared: Arc<Shared>,
    opening: Opening,
    /// The document of a connection that holds just one.
    single: Option<DocumentId>,
    /// Who the client is, once that is known.
    principal: Option<Arc<Principal>>,
    auth_deadline: Instant,
}

/// What a client asks for that joins a document.
struct Join {
    document: DocumentId,
    client_id: Option<ClientId>,
    start: Start,
    batches: bool,
}

impl Listener for Ot {
    fn collab(&self) -> &Arc<Collab> {
        &self.collab
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    async fn open(&mut self) {
        if let Some((code, message)) = self.opening.refused.take() {
            self.fail(code, &message);
        } else if let Some(token) = self.opening.token.take() {
            self.authenticate(&token).await;
        }
    }

    async fn hear(&mut self, frame: Frame) {
        match frame {
            Frame::Text(text) => self.frame(&text).await,
            _ => {
                let message = "this dialect is spoken in text frames";
                self.answer(None, error(ErrorCode::InvalidMessage, message, None));
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let Some(principal) = &self.principal else {
            return Some(self.auth_deadline);
        };
        Some(self.collab.instant(principal.credential.expires_at_ms()?))
    }

    async fn fall_due(&mut self) {
        if self.principal.is_some() {
            self.fail(ErrorCode::TokenExpired, "the token has expired");
        } else {
            self.fail(ErrorCode::Unauthenticated, "no token came in time");
        }
    }

    fn fail(&self, code: ErrorCode, message: &str) {
        self.answer(None, error(code, message, None));
        self.shared
            .close(code.close_code().unwrap_or(close::BAD_REQUEST));
    }
}

impl Ot {
    pub(super) fn new(collab: Arc<Collab>, shared: Arc<Shared>, opening: Opening) -> Self {
        Self {
            collab,
            shared,
            single: opening.document,
            opening,
            principal: None,
            auth_deadline: Instant::now() + AUTH_TIMEOUT,
        }
    }

    /// Answers a message.
    fn answer(&self, document: Option<DocumentId>, body: Body) {
        self.shared
            .answer(Message::Json(Piece::One(document, body)));
    }

    async fn frame(&mut self, text: &str) {
        if self.principal.is_none() && text.len() > limits::UNAUTHENTICATED_BYTES_MAX {
            let message = "a frame of this size needs authentication first";
            return self.fail(ErrorCode::TooLarge, message);
        }
        match ot::decode(text) {
            Ok(mut messages) => {
                // What follows the message that ends a connection is not even read.
                let space = self.collab.space(text.len()).await;
                while !self.shared.is_closing()
                    && let Some(incoming) = messages.next()
                {
                    self.message(incoming, &space).await;
                }
            }
            Err(refused) if refused.code == ErrorCode::TooLarge => {
                self.fail(refused.code, &refused.message);
            }
            Err(refused) => self.refuse(None, &refused),
        }
    }

    async fn message(&mut self, incoming: Incoming, space: &Option<Space>) {
        let Incoming { document, message } = incoming;
        let named = if self.single.is_some() {
            None
        } else {
            document
        };
        if self.principal.is_none() && !matches!(message, Ok(ClientMessage::Auth { .. })) {
            return self.fail(ErrorCode::Unauthenticated, "the first message must be auth");
        }
        let message = match message {
            Ok(message) => message,
            Err(refused) => return self.refuse(named, &refused),
        };
        if matches!(
            message,
            ClientMessage::Auth { .. } | ClientMessage::Join { .. }
        ) {
            // They cost the catalog more than an edit costs the log.
            self.shared.submitted();
        }
        if let ClientMessage::Auth { token } = message {
            return Box::pin(self.authenticate(&token)).await;
        }
        match message {
            ClientMessage::Join {
                document,
                client_id,
                revision,
                pending,
                batches,
            } => {
                let start = revision.map_or(Start::Text, |revision| Start::Revision {
                    revision,
                    pending,
                });
                let join = Join {
                    document,
                    client_id,
                    start,
                    batches,
                };
                Box::pin(self.join(join, None)).await;
            }
            ClientMessage::Ping => {
                self.answer(named, ot::encode(&ServerMessage::Pong {}));
            }
            message => match self.session(document) {
                Ok(session) => {
                    if let ClientMessage::Edit { .. } | ClientMessage::ShortEdit { .. } = &message {
                        self.shared.submitted();
                    }
                    self.act(&session, message, space).await;
                }
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
        let session = self.shared.session(&Key::Document(document));
        session.ok_or_else(|| refuse(ErrorCode::NotJoined, "this document was not joined"))
    }

    async fn act(&self, session: &Session, message: ClientMessage, space: &Option<Space>) {
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
        session.tell_large(command, space.clone()).await;
    }

    /// Takes a token, and on a connection to one document joins that.
    async fn authenticate(&mut self, token: &str) {
        let epoch = self.collab.epoch();
        let principal = match self.collab.authenticate(token).await {
            Ok(principal) => principal,
            Err(code) => return self.fail(code, refusal(code)),
        };
        if let Some(before) = &self.principal
            && before.user != principal.user
        {
            let message = "the token is another user's";
            return self.fail(ErrorCode::Unauthenticated, message);
        }
        let expires_at = principal.credential.expires_at_ms().map(rfc3339);
        let authenticated = ServerMessage::Authenticated {
            user_id: principal.user,
            expires_at: expires_at.as_deref(),
        };
        // One frame for this and the document, or for why there is none.
        let authenticated = Message::Json(Piece::One(None, ot::encode(&authenticated)));
        if self.opening.document.is_some() {
            self.shared.prepend(authenticated);
        } else {
            self.shared.answer(authenticated);
        }
        if let Some(uplink) = &self.opening.uplink {
            uplink.shown(&principal);
        }
        let sessions: Vec<_> = self.shared.sessions().values().cloned().collect();
        self.collab.renewed(sessions, &principal).await;
        self.principal = Some(principal);
        if let Some(document) = self.opening.document.take() {
            let join = Join {
                document,
                client_id: self.opening.client_id.take(),
                start: self.opening.start,
                batches: self.opening.batches,
            };
            self.join(join, Some(epoch)).await;
        }
    }

    async fn join(
        &mut self,
        Join {
            document,
            client_id,
            start,
            batches,
        }: Join,
        as_of: Option<u64>,
    ) {
        let named = self.single.is_none().then_some(document);
        let Some(principal) = &self.principal else {
            return;
        };
        let count = {
            let sessions = self.shared.sessions();
            if sessions.contains_key(&Key::Document(document)) {
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
            return self.answer(named, error(code, message, None));
        }
        let writer = Arc::clone(&self.shared.writer);
        let speech = Speech::Ot(Positions {
            named: named.is_some(),
            batches,
        });
        let joining = self.collab.join(Joining {
            principal,
            address: &self.opening.address,
            document,
            client_id,
            start,
            speech,
            writer,
            noted: true,
            gone: Some(&self.shared.gone),
            as_of,
        });
        let registered = |session| self.shared.register(session);
        if let Err(code) = joining.await.map(registered) {
            let message = refusal(code);
            match named {
                // Who is not let in any more has no business on any document.
                Some(_) if matches!(code, ErrorCode::Unauthenticated | ErrorCode::TokenExpired) => {
                    self.fail(code, message);
                }
                Some(_) => self.answer(named, error(code, message, None)),
                None => self.fail(code, message),
            }
        }
    }

    fn refuse(&self, named: Option<DocumentId>, refused: &Refused) {
        self.answer(named, error(refused.code, &refused.message, refused.seq));
    }
}

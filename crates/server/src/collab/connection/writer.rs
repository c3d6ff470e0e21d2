//! The half of a connection that speaks to the client.

use std::{sync::Arc, time::Duration};

use futures_util::{Sink, SinkExt};
use motet_document::Command;
use motet_log::DocumentLog;
use motet_model::{DocumentId, limits};
use motet_protocol::{
    ErrorCode, close,
    ot::{self, Body, ServerMessage},
};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Frame, Shared};
use crate::collab::{
    Collab,
    outbox::End,
    session::{Next, Session, error},
};

/// How often the server asks whether the client is still there.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long one frame may take to leave.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Writer<S> {
    pub(super) sink: S,
    pub(super) shared: Arc<Shared>,
    pub(super) collab: Arc<Collab>,
}

/// The connection cannot be written to any more.
struct Gone;

impl<S: Sink<Frame> + Unpin> Writer<S> {
    /// Speaks until the connection ends.
    pub(super) async fn run(mut self) {
        let mut ping = interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let writer = Arc::clone(&self.shared.writer);
        loop {
            tokio::select! {
                () = writer.notified() => match self.flush().await {
                    Ok(None) => {}
                    Ok(Some(code)) => {
                        // Nothing is left to do for a client that does not take it.
                        let _gone = self.send(Frame::Close(Some(code))).await;
                        break;
                    }
                    Err(Gone) => break,
                },
                _ = ping.tick() => {
                    if self.send(Frame::Ping).await.is_err() {
                        break;
                    }
                }
            }
        }
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
            if let Some(end) = taken.end {
                self.end(&session, end, &mut messages, &mut close);
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

    /// A session is over: the client is told, and on a connection to just that document the
    /// connection ends too.
    fn end(
        &self,
        session: &Arc<Session>,
        end: End,
        messages: &mut Vec<(Option<DocumentId>, Body)>,
        close: &mut Option<u16>,
    ) {
        let mut sessions = self.shared.sessions();
        // The client may have joined the document anew.
        if sessions
            .get(&session.document)
            .is_some_and(|current| Arc::ptr_eq(current, session))
        {
            sessions.remove(&session.document);
        }
        drop(sessions);
        session.end();
        let code = match end {
            End::Left => {
                let left = ot::encode(&ServerMessage::LeftDocument {});
                messages.push((session.name(), left));
                close::NORMAL
            }
            End::Closed(code) => {
                messages.push((session.name(), error(code, message_for(code), None)));
                code.close_code().unwrap_or(close::BAD_REQUEST)
            }
            End::Unread => close::POLICY,
        };
        if !session.named || end == End::Unread {
            close.get_or_insert(code);
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
                        session.outbox.end(End::Closed(ErrorCode::Unavailable));
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
        self.send(Frame::Text(text.into())).await
    }

    async fn send(&mut self, frame: Frame) -> Result<(), Gone> {
        match timeout(SEND_TIMEOUT, self.sink.send(frame)).await {
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

//! The half of a connection that speaks to the client.

use std::{sync::Arc, time::Duration};

use futures_util::{Sink, SinkExt};
use motet_document::Command;
use motet_log::DocumentLog;
use motet_model::limits;
use motet_protocol::{ErrorCode, ot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Outgoing, Shared};
use crate::collab::{
    Collab,
    outbox::End,
    session::{Message, Next, Session},
};

/// How often the server asks whether the client is still there.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long one frame may take to leave.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Writer<S> {
    pub(super) sink: S,
    pub(super) shared: Arc<Shared>,
    pub(super) collab: Arc<Collab>,
    /// Something was sent since the last ping.
    pub(super) has_spoken: bool,
}

/// The connection cannot be written to any more.
struct Gone;

impl<S: Sink<Outgoing> + Unpin> Writer<S> {
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
                        let _gone = self.send(Outgoing::Close(Some(code))).await;
                        break;
                    }
                    Err(Gone) => break,
                },
                _ = ping.tick() => {
                    if self.ping().await.is_err() {
                        break;
                    }
                }
            }
        }
    }

    /// Asks for a sign of life, and gives one where only messages count.
    async fn ping(&mut self) -> Result<(), Gone> {
        if !std::mem::take(&mut self.has_spoken) {
            let session = self.shared.sessions().values().next().cloned();
            let sign = session.and_then(|session| session.sign_of_life());
            self.send_messages(sign.as_slice()).await?;
            self.has_spoken = false;
        }
        self.send(Outgoing::Ping).await
    }

    /// Sends all that waits. Returns the close code once there is one.
    async fn flush(&mut self) -> Result<Option<u16>, Gone> {
        // Answers first: a client learns that it is authenticated before it is sent a document.
        let (mut messages, pong, mut close) = {
            let mut answers = self.shared.answers();
            answers.size_bytes = 0;
            let messages = std::mem::take(&mut answers.messages);
            (messages, answers.pong.take(), answers.close)
        };
        if let Some(payload) = pong {
            self.send(Outgoing::Pong(payload)).await?;
        }
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
            let refused = match next {
                Next::End(code) => Some(End::Closed(code)),
                _ => None,
            };
            if let Some(end) = taken.end.or(refused) {
                self.end(&session, end, &mut messages, &mut close);
            } else if next != Next::Rest {
                follow.push((session, next));
            }
        }
        self.send_messages(&messages).await?;
        for (session, next) in follow {
            // Seldom, and what reads a log is large: a writer that waits is small without it.
            Box::pin(self.catch_up(&session, next)).await?;
        }
        Ok(close)
    }

    /// A session is over: the client is told, and on a connection to just that document the
    /// connection ends too.
    fn end(
        &self,
        session: &Arc<Session>,
        end: End,
        messages: &mut Vec<Message>,
        close: &mut Option<u16>,
    ) {
        let mut sessions = self.shared.sessions();
        // The client may have joined the document anew.
        let key = session.key();
        if sessions
            .get(&key)
            .is_some_and(|current| Arc::ptr_eq(current, session))
        {
            sessions.remove(&key);
        }
        drop(sessions);
        session.end();
        if let Some(code) = session.farewell(end, messages) {
            close.get_or_insert(code);
        }
    }

    /// Asks the document to go on where the client is, after what is only in the log has been sent.
    /// The socket paces it: a step is read when the one before has left.
    async fn catch_up(&mut self, session: &Session, next: Next) -> Result<(), Gone> {
        if let Next::ReadLog { through } = next {
            let log = Arc::clone(&self.collab.registry.shared().log);
            while session.sent() < through {
                if session.outbox.has_ended() {
                    return Ok(());
                }
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

    /// Sends messages: those in JSON that follow one another in one frame, each binary one in its own.
    async fn send_messages(&mut self, messages: &[Message]) -> Result<(), Gone> {
        if messages.is_empty() {
            return Ok(());
        }
        self.has_spoken = true;
        let alike =
            |a: &Message, b: &Message| matches!((a, b), (Message::Json(..), Message::Json(..)));
        let sending = async {
            for group in messages.chunk_by(alike) {
                let frame = match group {
                    [Message::Binary(bytes)] => Outgoing::Binary(bytes.clone()),
                    json => Outgoing::Text(text(json)),
                };
                self.sink.feed(frame).await.map_err(|_| Gone)?;
            }
            self.sink.flush().await.map_err(|_| Gone)
        };
        timeout(SEND_TIMEOUT, sending).await.unwrap_or(Err(Gone))
    }

    async fn send(&mut self, frame: Outgoing) -> Result<(), Gone> {
        match timeout(SEND_TIMEOUT, self.sink.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }
}

/// Messages in JSON as one frame.
fn text(messages: &[Message]) -> ot::Text {
    let pieces = messages.iter().filter_map(|message| match message {
        Message::Json(piece) => Some(piece.clone()),
        Message::Binary(_) => None,
    });
    let pieces: Vec<_> = pieces.collect();
    ot::frame(&pieces)
}

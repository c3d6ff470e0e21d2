//! The half of a connection that hears the client, whatever it speaks.

use std::{
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use motet_document::Command;
use motet_protocol::{ErrorCode, close};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{Broken, Frame, Shared, throttle::Throttle};
use crate::collab::Collab;

/// How often a connection tells its documents that it lives.
const HEARD_INTERVAL: Duration = Duration::from_secs(5);
/// A client of which nothing was heard for this long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the server waits for the client's side of the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What understands a client: one for each dialect.
pub(super) trait Listener: Send {
    /// The node's documents.
    fn collab(&self) -> &Arc<Collab>;

    /// What is shared with the writer.
    fn shared(&self) -> &Arc<Shared>;

    /// Does what the connection's address asks for.
    fn open(&mut self) -> impl Future<Output = ()> + Send;

    /// Takes a frame: text or binary.
    fn hear(&mut self, frame: Frame) -> impl Future<Output = ()> + Send;

    /// When something is to be done though the client says nothing: its token expires, say.
    fn due(&self) -> Option<Instant>;

    /// Does it.
    fn fall_due(&mut self) -> impl Future<Output = ()> + Send;

    /// Tells the client why the connection ends, and ends it.
    fn fail(&self, code: ErrorCode, message: &str);
}

/// Hears the client until either side ends the connection, and waits for its side of the closing
/// handshake.
pub(super) async fn run(
    listener: &mut impl Listener,
    mut frames: impl Stream<Item = Result<Frame, Broken>> + Unpin,
) {
    let shared = Arc::clone(listener.shared());
    let broken = tokio::select! {
        () = shared.ended.cancelled() => None,
        broken = hear(listener, &mut frames) => broken,
    };
    match broken {
        // The rest of the frame is never read, so the client must have time to see the answer before
        // the connection is reset.
        Some(Broken::TooLarge(limit)) => {
            listener.fail(ErrorCode::TooLarge, &limit);
            return sleep(CLOSE_TIMEOUT).await;
        }
        Some(Broken::Refused(code)) => {
            shared.close(code);
            return sleep(CLOSE_TIMEOUT).await;
        }
        Some(Broken::Gone) => return shared.close(close::NORMAL),
        None => {}
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
    listener: &mut impl Listener,
    frames: &mut (impl Stream<Item = Result<Frame, Broken>> + Unpin),
) -> Option<Broken> {
    let shared = Arc::clone(listener.shared());
    // What has come while the listener was busy.
    let mut ahead = None;
    beside(Box::pin(listener.open()), frames, &mut ahead, &shared).await;
    let mut draining = listener.collab().draining.subscribe();
    let mut drains = pin!(until(&mut draining));
    let mut last_heard = Instant::now();
    let mut told_heard = last_heard;
    let mut tells = last_heard + HEARD_INTERVAL;
    let settings = &listener.collab().settings;
    let frame_bytes_max = settings.message_bytes_max.max(settings.update_bytes_max);
    let mut throttle = Throttle::new(settings.rates, frame_bytes_max, last_heard);
    // Until when no more is read of a client that says too much.
    let mut pause: Option<Instant> = None;
    // One timer for all that falls due. It may go off early, and is set anew where it has, or would be late.
    let mut alarm = pin!(sleep_until(tells));
    loop {
        let due = listener.due();
        let first = [due, pause].into_iter().flatten().fold(tells, Instant::min);
        if alarm.is_elapsed() || alarm.deadline() > first {
            alarm.as_mut().reset(first);
        }
        // A client that always has something to say must not outlive what ends a connection:
        // its frames come last.
        tokio::select! {
            biased;
            () = &mut drains => {
                listener.fail(ErrorCode::Unavailable, "the server restarts");
                return None;
            }
            () = &mut alarm => {
                let now = Instant::now();
                if due.is_some_and(|due| due <= now) {
                    Box::pin(listener.fall_due()).await;
                    if listener.shared().is_closing() {
                        return None;
                    }
                }
                if tells <= now {
                    tells = now + HEARD_INTERVAL;
                    if last_heard.elapsed() > SILENCE {
                        listener.fail(ErrorCode::Silent, "nothing was heard for 60 s");
                        return None;
                    }
                    if last_heard > told_heard {
                        told_heard = last_heard;
                        Box::pin(tell_heard(listener.shared())).await;
                    }
                }
                pause = pause.filter(|pause| *pause > now);
            }
            frame = next(frames, &mut ahead), if pause.is_none() => {
                last_heard = Instant::now();
                match frame {
                    Some(Ok(Frame::Ping(payload))) => shared.pong(payload),
                    Some(Ok(Frame::Pong)) => {}
                    Some(Ok(Frame::Close(code))) => {
                        shared.close(code.unwrap_or(close::NORMAL));
                        return None;
                    }
                    None => {
                        shared.close(close::NORMAL);
                        return None;
                    }
                    Some(Ok(frame)) => {
                        let size_bytes = frame.len();
                        let heard = Box::pin(listener.hear(frame));
                        beside(heard, frames, &mut ahead, &shared).await;
                        let submitted = shared.submitted.swap(0, Ordering::Relaxed);
                        pause = throttle.count(size_bytes, submitted, last_heard);
                    }
                    Some(Err(cause)) => return Some(cause),
                }
            }
        }
    }
}

/// A frame, or the end.
type Ahead = Option<Result<Frame, Broken>>;

/// Does something, and notes if the client goes meanwhile. One frame is read ahead for that. The work is
/// boxed: it is much larger than what a connection needs on which nothing happens.
async fn beside(
    mut work: Pin<Box<impl Future<Output = ()>>>,
    frames: &mut (impl Stream<Item = Result<Frame, Broken>> + Unpin),
    ahead: &mut Option<Ahead>,
    shared: &Shared,
) {
    loop {
        tokio::select! {
            biased;
            () = &mut work => return,
            frame = frames.next(), if ahead.is_none() => {
                if matches!(frame, None | Some(Err(_) | Ok(Frame::Close(_)))) {
                    shared.gone.store(true, Ordering::Release);
                }
                *ahead = Some(frame);
            }
        }
    }
}

/// The frame that was read ahead, or the next one. Nothing is lost if this is dropped before it is ready.
async fn next(
    frames: &mut (impl Stream<Item = Result<Frame, Broken>> + Unpin),
    ahead: &mut Option<Ahead>,
) -> Ahead {
    match ahead.take() {
        Some(frame) => frame,
        None => frames.next().await,
    }
}

async fn tell_heard(shared: &Shared) {
    let sessions: Vec<_> = shared.sessions().values().cloned().collect();
    for session in sessions {
        let heard = Command::Heard {
            session: session.id,
        };
        session.tell(heard).await;
    }
}

/// Waits until the server drains.
async fn until(draining: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server does.
    let _gone = draining.wait_for(|draining| *draining).await.map(drop);
}

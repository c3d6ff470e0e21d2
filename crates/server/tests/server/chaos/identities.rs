//! A client that speaks identities, by one of two protocols. It knows that what it has made is stored when a
//! question that it asked behind it is answered.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use motet_crdt::{SyncMessage, Version, decode_state_vector};
use motet_protocol::yjs::{self, hocuspocus};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    Standing,
    pen::Pen,
    pipe::{self, Socket},
    stage::{Phase, Stage},
};
use crate::support::yjs::{Identities, auth};

const PING: Duration = Duration::from_secs(1);
const PAUSE_MS_MAX: usize = 400;

pub(super) struct Yjs {
    pub(super) stage: Arc<Stage>,
    pub(super) name: String,
    pub(super) document: String,
    pub(super) is_hocuspocus: bool,
    pub(super) pen: Pen,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) identities: Identities,
    pub(super) edits: u64,
    /// How many are known to be stored, and since when the next one is there.
    pub(super) stored: u64,
    pub(super) since: Option<Instant>,
}

/// A connection, and what was asked on it.
struct Line {
    socket: Socket,
    prefix: Bytes,
    /// The server has been sent all that it lacked.
    told: bool,
    /// A question is open: how many edits the server had before.
    asked: Option<Option<u64>>,
}

impl Yjs {
    pub(super) async fn run(mut self) {
        let mut phase = self.stage.phase.subscribe();
        let nodes = self.stage.nodes();
        let mut node = self.pen.random.index(nodes);
        while *phase.borrow() != Phase::Done {
            if let Some(mut line) = self.open(node).await {
                self.live(&mut line, &mut phase).await;
            }
            node = self.pen.random.index(nodes);
            let pause = 20 + self.pen.random.index(150) as u64;
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn open(&self, node: usize) -> Option<Line> {
        let (path, prefix) = if self.is_hocuspocus {
            let prefix = hocuspocus::prefix(&self.document);
            ("/hocuspocus".to_owned(), prefix)
        } else {
            let (document, token) = (&self.document, &self.stage.token);
            (format!("/yjs/{document}?token={token}"), Bytes::new())
        };
        let socket = pipe::open(&self.stage, &self.name, node, &path).await?;
        let mut line = Line {
            socket,
            prefix,
            told: false,
            asked: None,
        };
        let introduced =
            !self.is_hocuspocus || self.send(&mut line, &auth(&self.stage.token)).await;
        (introduced && self.ask(&mut line).await).then_some(line)
    }

    async fn live(&mut self, line: &mut Line, phase: &mut watch::Receiver<Phase>) {
        let now = Instant::now();
        let (mut heard_at, mut asked_at, mut edit_at) = (now, now, now);
        while *phase.borrow_and_update() != Phase::Done {
            let is_writing = *phase.borrow() == Phase::Writing;
            let goes_on = tokio::select! {
                frame = line.socket.next() => {
                    heard_at = Instant::now();
                    match frame {
                        Some(Ok(Message::Binary(frame))) => self.hear(line, &frame).await,
                        Some(Ok(Message::Close(frame))) => {
                            let code = frame.map(|frame| frame.code.into());
                            self.stage.closed(&self.name, code);
                            false
                        }
                        Some(Ok(_)) => true,
                        Some(Err(_)) | None => false,
                    }
                }
                () = sleep_until(edit_at), if is_writing => {
                    let pause = 1 + self.pen.random.index(PAUSE_MS_MAX) as u64;
                    edit_at = Instant::now() + Duration::from_millis(pause);
                    self.edit(line).await
                }
                () = sleep_until(asked_at.max(heard_at) + PING) => {
                    asked_at = Instant::now();
                    let ping = line.socket.send(Message::Ping(Bytes::new()));
                    heard_at.elapsed() <= self.stage.silence
                        && matches!(timeout(self.stage.silence, ping).await, Ok(Ok(())))
                }
                _ = phase.changed() => true,
            };
            let asks = goes_on && line.told && line.asked.is_none() && self.stored < self.edits;
            if !goes_on || asks && !self.ask(line).await {
                return;
            }
            self.publish();
        }
    }

    fn publish(&self) {
        if *self.stage.phase.borrow() == Phase::Writing {
            return;
        }
        self.standing.send_replace(Standing {
            settled: self.stored == self.edits,
            revision: None,
            content: self.identities.content(),
            alive: self.pen.alive().to_vec(),
            edits: self.edits,
        });
    }

    async fn send(&self, line: &mut Line, message: &[u8]) -> bool {
        let frame = Message::Binary(hocuspocus::frame(&line.prefix, message));
        let sent = timeout(self.stage.silence, line.socket.send(frame)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// Asks for what is missing here. What was sent before is stored when the answer comes.
    async fn ask(&self, line: &mut Line) -> bool {
        line.asked = Some(line.told.then_some(self.edits));
        let known = self.identities.replica.encode_state_vector();
        self.send(line, &yjs::sync(SyncMessage::Step1(&known)))
            .await
    }

    async fn edit(&mut self, line: &mut Line) -> bool {
        match self.pen.edit(&self.identities.content()) {
            Ok(delta) => {
                let update = self.identities.edit(&delta);
                self.edits += 1;
                self.since.get_or_insert_with(Instant::now);
                self.send(line, &yjs::sync(SyncMessage::Update(&update)))
                    .await
            }
            Err(error) => {
                self.stage.complain(format!("{}: {error}", self.name));
                true
            }
        }
    }

    async fn hear(&mut self, line: &mut Line, frame: &[u8]) -> bool {
        let Some(body) = frame.strip_prefix(&*line.prefix) else {
            self.stage
                .complain(format!("{} heard of another document", self.name));
            return false;
        };
        let replica = &mut self.identities.replica;
        let applied = match yjs::decode(body) {
            Ok(yjs::Message::Sync(SyncMessage::Step1(known))) => {
                let known = decode_state_vector(known).unwrap();
                let missing = replica.encode_update(&known, Version::V1);
                line.told = true;
                let step_2 = yjs::sync(SyncMessage::Step2(&missing));
                return self.send(line, &step_2).await;
            }
            Ok(yjs::Message::Sync(SyncMessage::Step2(update))) => {
                if let Some(Some(stored)) = line.asked.take() {
                    self.stored = stored;
                    if let Some(since) = self.since.take() {
                        self.stage.stored(since);
                    }
                    if self.stored < self.edits {
                        self.since = Some(Instant::now());
                    }
                }
                replica.apply_update(update, Version::V1).map(drop)
            }
            Ok(yjs::Message::Sync(SyncMessage::Update(update))) => {
                replica.apply_update(update, Version::V1).map(drop)
            }
            _ => return true,
        };
        if let Err(error) = applied {
            self.stage.complain(format!("{} heard {error}", self.name));
        }
        true
    }
}

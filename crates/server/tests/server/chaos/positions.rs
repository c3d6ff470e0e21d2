//! A client that speaks positions, by the rules of the real one: one submission in flight, all else in a
//! buffer, the same number again after a reconnect.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use motet_ot::{Delta, Side};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Standing,
    pen::Pen,
    pipe::{self, EventStream, Heard, Pipe},
    stage::{Phase, Stage},
};
use crate::support::editor::decoded;

/// How often a client that hears nothing asks whether anybody is there.
const PING: Duration = Duration::from_secs(1);
/// The longest pause between two edits.
const PAUSE_MS_MAX: usize = 400;

pub(super) struct Positions {
    pub(super) stage: Arc<Stage>,
    pub(super) name: String,
    pub(super) document: String,
    pub(super) is_stream: bool,
    pub(super) pen: Pen,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) state: State,
}

#[derive(Default)]
pub(super) struct State {
    /// As its user sees it.
    content: Delta,
    is_loaded: bool,
    revision: u64,
    seq: u64,
    inflight: Option<(Delta, Instant)>,
    buffer: Option<(Delta, Instant)>,
    edits: u64,
}

/// What follows from a message.
enum Next {
    Hear,
    Introduce,
    Submit,
    ComeBack,
}

impl Positions {
    pub(super) async fn run(mut self) {
        let mut phase = self.stage.phase.subscribe();
        let nodes = self.stage.nodes();
        let mut node = self.pen.random.index(nodes);
        while *phase.borrow() != Phase::Done {
            if let Some(mut pipe) = self.open(node).await {
                self.live(&mut pipe, &mut phase).await;
            }
            // As a balancer that does not know which nodes are well.
            node = self.pen.random.index(nodes);
            let pause = 20 + self.pen.random.index(150) as u64;
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn open(&mut self, node: usize) -> Option<Pipe> {
        let State {
            is_loaded,
            revision,
            inflight,
            buffer,
            ..
        } = &self.state;
        let mut query = format!("clientId={}", self.name);
        if *is_loaded {
            let pending = inflight.is_some() || buffer.is_some();
            query += &format!("&revision={revision}&pending={pending}");
        }
        let (stage, name, document) = (&self.stage, &self.name, &self.document);
        if self.is_stream {
            let nodes = (node, self.pen.random.index(stage.nodes()));
            let stream = EventStream::open(stage, name, nodes, document, &query).await?;
            return Some(Pipe::Stream(Box::new(stream)));
        }
        let path = format!("/collab/{document}?token={}&{query}", stage.token);
        let socket = pipe::open(stage, name, node, &path).await?;
        Some(Pipe::Socket(Box::new(socket), VecDeque::new()))
    }

    /// Until the connection is lost, or all is done.
    async fn live(&mut self, pipe: &mut Pipe, phase: &mut watch::Receiver<Phase>) {
        let stage = Arc::clone(&self.stage);
        let mut joined = false;
        let mut heard_at = Instant::now();
        let mut asked_at = heard_at;
        let mut edit_at = heard_at;
        while *phase.borrow_and_update() != Phase::Done {
            let is_writing = *phase.borrow() == Phase::Writing;
            let next = tokio::select! {
                heard = pipe.heard() => {
                    heard_at = Instant::now();
                    match heard {
                        Heard::Message(message) => self.take(&message, &mut joined),
                        Heard::Closed(code) => {
                            stage.closed(&self.name, code);
                            Next::ComeBack
                        }
                    }
                }
                () = sleep_until(edit_at), if is_writing && self.state.is_loaded => {
                    let pause = 1 + self.pen.random.index(PAUSE_MS_MAX) as u64;
                    edit_at = Instant::now() + Duration::from_millis(pause);
                    self.edit();
                    Next::Submit
                }
                () = sleep_until(asked_at.max(heard_at) + PING) => {
                    asked_at = Instant::now();
                    if heard_at.elapsed() > stage.silence
                        || joined && !pipe.send(&stage, &self.name, &json!({ "type": "ping" })).await
                    {
                        Next::ComeBack
                    } else {
                        Next::Hear
                    }
                }
                _ = phase.changed() => Next::Hear,
            };
            let sent = match next {
                Next::Hear => true,
                Next::ComeBack => false,
                Next::Introduce => self.introduce(pipe).await,
                Next::Submit if joined => self.submit(pipe).await,
                Next::Submit => true,
            };
            if !sent {
                return;
            }
            self.publish(joined);
        }
    }

    /// Tells how it stands, when somebody waits for that.
    fn publish(&self, joined: bool) {
        if *self.stage.phase.borrow() == Phase::Writing {
            return;
        }
        let state = &self.state;
        self.standing.send_replace(Standing {
            settled: joined && state.inflight.is_none() && state.buffer.is_none(),
            revision: Some(state.revision),
            content: state.content.clone(),
            alive: self.pen.alive().to_vec(),
            edits: state.edits,
        });
    }

    fn edit(&mut self) {
        match self.pen.edit(&self.state.content) {
            Ok(delta) => {
                let state = &mut self.state;
                state.content = state.content.compose(&delta).unwrap();
                state.edits += 1;
                let (buffer, since) = match state.buffer.take() {
                    Some((buffer, since)) => (buffer.compose(&delta).unwrap(), since),
                    None => (delta, Instant::now()),
                };
                state.buffer = Some((buffer, since));
            }
            Err(error) => self.stage.complain(format!("{}: {error}", self.name)),
        }
    }

    /// Sends what waits if nothing is in flight.
    async fn submit(&mut self, pipe: &mut Pipe) -> bool {
        if self.state.inflight.is_some() || self.state.buffer.is_none() {
            return true;
        }
        self.state.inflight = self.state.buffer.take();
        self.state.seq += 1;
        self.send_inflight(pipe).await
    }

    async fn send_inflight(&self, pipe: &mut Pipe) -> bool {
        let Some((delta, _)) = &self.state.inflight else {
            return true;
        };
        let operation: Value = serde_json::from_str(&delta.to_json()).unwrap();
        let message = json!({
            "type": "edit_operation", "seq": self.state.seq, "revision": self.state.revision,
            "operation": operation,
        });
        pipe.send(&self.stage, &self.name, &message).await
    }

    /// What follows a join: the submission that may not have arrived, or the next one; and who this is.
    async fn introduce(&mut self, pipe: &mut Pipe) -> bool {
        let sent = match self.state.inflight {
            Some(_) => self.send_inflight(pipe).await,
            None => self.submit(pipe).await,
        };
        let who = json!({ "type": "presence_update", "data": { "who": self.name } });
        sent && pipe.send(&self.stage, &self.name, &who).await
    }

    fn take(&mut self, message: &Value, joined: &mut bool) -> Next {
        let number = |field: &str| message[field].as_u64().unwrap_or_default();
        match message["type"].as_str() {
            Some("document_state") => {
                *joined = true;
                if number("lastSeq") > self.state.seq {
                    self.complain(message);
                }
                if let Some(content) = message.get("content") {
                    self.state.content = decoded(content);
                    self.state.revision = number("revision");
                    self.state.is_loaded = true;
                }
                Next::Introduce
            }
            Some("ack") => {
                let is_its = number("seq") == self.state.seq;
                let Some((_, made)) = self.state.inflight.take_if(|_| is_its) else {
                    return Next::Hear;
                };
                self.stage.stored(made);
                self.reach(message, self.state.revision + 1);
                Next::Submit
            }
            Some("operation") => {
                if number("revision") <= self.state.revision {
                    return Next::Hear;
                }
                let theirs = decoded(&message["operation"]);
                let state = &mut self.state;
                let moved = cross(theirs, &mut state.inflight);
                let moved = cross(moved, &mut state.buffer);
                self.compose(&moved);
                self.reach(message, self.state.revision + 1);
                Next::Hear
            }
            Some("reconciled") => {
                let Some((_, made)) = self.state.inflight.take() else {
                    return Next::Hear;
                };
                self.stage.stored(made);
                let rest = decoded(&message["operation"]);
                let moved = cross(rest, &mut self.state.buffer);
                self.compose(&moved);
                self.reach(message, number("revision"));
                Next::Submit
            }
            Some("error") => {
                let code = message["code"].as_str().unwrap_or_default();
                if !matches!(code, "unavailable" | "too_far_behind") {
                    self.complain(message);
                }
                Next::ComeBack
            }
            _ => Next::Hear,
        }
    }

    /// In order, without a gap.
    fn reach(&mut self, message: &Value, revision: u64) {
        if message["revision"] != revision {
            self.complain(message);
        }
        self.state.revision = revision;
    }

    fn compose(&mut self, delta: &Delta) {
        match self.state.content.compose(delta) {
            Ok(content) => self.state.content = content,
            Err(error) => self
                .stage
                .complain(format!("{}: {error}: {delta:?}", self.name)),
        }
    }

    fn complain(&self, message: &Value) {
        let (seq, revision) = (self.state.seq, self.state.revision);
        let name = &self.name;
        let what = format!("{name} at revision {revision}, seq {seq} was told {message}");
        self.stage.complain(what);
    }
}

/// Moves a change past what is not acknowledged yet, and that past the change.
fn cross(theirs: Delta, own: &mut Option<(Delta, Instant)>) -> Delta {
    let Some((delta, _)) = own else {
        return theirs;
    };
    let moved = delta.transform(&theirs, Side::Right);
    *delta = theirs.transform(delta, Side::Left);
    moved
}

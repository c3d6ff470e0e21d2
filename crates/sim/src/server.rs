//! A server with one document: the real state machine, a virtual disk that it shares with others, and
//! messages as JSON.

use std::collections::{BTreeMap, HashMap, HashSet};

use motet_document::{
    Access, Command, Document, Event, Member, Plan, Presence, Reject, Selection, Settings, Start,
    Submission,
};
use motet_model::{Change, Checkpoint, ClientId, Revision, SessionId, UserId};
use motet_protocol::ot::{self, ClientMessage};
use serde_json::{Value, json};

use crate::{disk::Disk, yjs};

/// A running server. A crash drops it.
#[derive(Debug)]
pub(crate) struct Server {
    document: Document,
    settings: Settings,
    inbox: Vec<Command>,
    /// The plan whose append is under way.
    pub(crate) planned: Option<Plan>,
    clients: HashMap<SessionId, ClientId>,
    /// The sessions that speak identities.
    yjs: HashSet<SessionId>,
    /// What each session has been sent.
    sent: BTreeMap<SessionId, Revision>,
}

/// A message for a session.
pub(crate) type Outgoing = (SessionId, Value);

impl Server {
    /// Opens the document from the disk, as a server does.
    pub(crate) fn open(disk: &Disk, settings: Settings) -> Result<Self, String> {
        let document = disk.open(&settings)?;
        document.content().assert_invariants();
        Ok(Self {
            document,
            settings,
            inbox: Vec::new(),
            planned: None,
            clients: HashMap::new(),
            yjs: HashSet::new(),
            sent: BTreeMap::new(),
        })
    }

    pub(crate) fn content(&self) -> Value {
        let json = self.document.snapshot().content.to_delta().to_json();
        let content: Value = serde_json::from_str(&json).unwrap_or(Value::Null);
        content["ops"].clone()
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.document.state().encode()
    }

    pub(crate) fn document(&self) -> &Document {
        &self.document
    }

    pub(crate) fn join(&mut self, session: SessionId, client: &str, start: Start) {
        let Ok(client_id) = client.parse::<ClientId>() else {
            return;
        };
        self.clients.insert(session, client_id.clone());
        let member = Member {
            user: user(&client_id),
            name: client.into(),
            color: None,
            access: Access::Write,
        };
        if start == Start::Identities {
            self.yjs.insert(session);
        }
        self.inbox.push(Command::Join {
            session,
            member,
            client_id,
            start,
        });
    }

    pub(crate) fn leave(&mut self, session: SessionId) {
        self.inbox.push(Command::Leave { session });
    }

    pub(crate) fn heard(&mut self, session: SessionId) {
        self.inbox.push(Command::Heard { session });
    }

    /// A queue was full: the session is sent nothing more until it has drained.
    pub(crate) fn overflow(&mut self, session: SessionId) {
        self.document.mark_behind(session);
    }

    /// It has.
    pub(crate) fn drained(&mut self, session: SessionId) {
        let after = self.sent.get(&session).copied().unwrap_or_default();
        self.inbox.push(Command::CatchUp { session, after });
    }

    /// A message as it came over the wire.
    pub(crate) fn receive(&mut self, session: SessionId, message: &Value) -> Result<(), String> {
        if self.yjs.contains(&session) {
            self.inbox.push(yjs::decode(session, message)?);
            return Ok(());
        }
        let text = message.to_string();
        let decoded = ot::decode(&text).map_err(|refused| refused.message)?;
        for incoming in decoded {
            let message = incoming.message.map_err(|refused| refused.message)?;
            match message {
                ClientMessage::Edit {
                    seq,
                    revision,
                    operation,
                } => {
                    let submission = Submission::new(revision, seq, operation);
                    self.inbox.push(Command::Submit {
                        session,
                        submission,
                    });
                }
                ClientMessage::Select {
                    selection,
                    revision,
                } => self.inbox.push(Command::Select {
                    session,
                    selection: selection.map(|(anchor, head)| Selection { anchor, head }),
                    revision: revision.unwrap_or_default(),
                }),
                other => return Err(format!("a client that edits does not send {other:?}")),
            }
        }
        Ok(())
    }

    /// Plans what has arrived, unless an append is under way. Returns what is to be told at once, if there is
    /// something to append or to commit.
    pub(crate) fn plan(
        &mut self,
        now_ms: u64,
        disk: &Disk,
    ) -> Result<Option<Vec<Outgoing>>, String> {
        if self.planned.is_some() || self.inbox.is_empty() {
            return Ok(None);
        }
        let mut messages = Vec::new();
        if self.inbox.iter().any(|it| self.document.is_behind(it)) {
            messages = self.look(disk)?;
        }
        let mut commands = Vec::new();
        let mut inbox = std::mem::take(&mut self.inbox).into_iter();
        while let Some(command) = inbox.next() {
            if self.follows_a_join(&command) && !commands.is_empty() {
                // Its turn comes when the join is planned.
                self.inbox = std::iter::once(command).chain(inbox).collect();
                break;
            }
            let (command, _) = disk.prepare(&mut self.document, &self.settings, command)?;
            commands.push(command);
        }
        let (events, plan) = self.document.plan(now_ms, commands);
        messages.extend(self.render(events, disk));
        if plan.is_behind() && self.document.head() < disk.head() {
            self.planned = Some(plan);
            messages.extend(self.abort(disk)?);
            messages.extend(self.plan(now_ms, disk)?.into_iter().flatten());
            return Ok(Some(messages));
        }
        self.planned = Some(plan);
        Ok(Some(messages))
    }

    /// Others may have appended: follows them, unless an append is under way, which will tell.
    pub(crate) fn look(&mut self, disk: &Disk) -> Result<Vec<Outgoing>, String> {
        if self.planned.is_some() {
            return Ok(Vec::new());
        }
        let missed = disk.slice(self.document.head(), disk.head()).to_vec();
        let events = self.document.follow(missed);
        let events = events.map_err(|error| error.to_string())?;
        self.document.content().assert_invariants();
        Ok(self.render(events, disk))
    }

    /// Others have appended first: follows them, and takes up the same commands again.
    pub(crate) fn abort(&mut self, disk: &Disk) -> Result<Vec<Outgoing>, String> {
        let Some(plan) = self.planned.take() else {
            return Ok(Vec::new());
        };
        let aborted = self.document.abort(plan);
        self.document.content().assert_invariants();
        let arrived = std::mem::replace(&mut self.inbox, aborted);
        self.inbox.extend(arrived);
        self.look(disk)
    }

    fn follows_a_join(&self, command: &Command) -> bool {
        if self.settings.shared {
            return command.is_edit() && !self.document.has_session(command.session());
        }
        matches!(command, Command::Submit { session, submission }
            if self.document.is_far(submission) && !self.document.has_session(*session))
    }

    /// The append is durable: publish.
    pub(crate) fn commit(&mut self, disk: &Disk) -> Vec<Outgoing> {
        let Some(plan) = self.planned.take() else {
            return Vec::new();
        };
        let head = plan.base().plus(plan.changes().len() as u64);
        let events = self.document.commit(plan, head);
        self.document.content().assert_invariants();
        self.render(events, disk)
    }

    pub(crate) fn tick(&mut self, now_ms: u64, disk: &Disk) -> Vec<Outgoing> {
        if self.planned.is_some() {
            return Vec::new();
        }
        let events = self.document.tick(now_ms);
        self.render(events, disk)
    }

    fn render(&mut self, events: Vec<(SessionId, Event)>, disk: &Disk) -> Vec<Outgoing> {
        let mut messages = Vec::new();
        for (session, event) in events {
            let Some(client) = self.clients.get(&session).cloned() else {
                continue;
            };
            if self.yjs.contains(&session) {
                self.sent
                    .extend(yjs::sent(&event).map(|sent| (session, sent)));
                messages.extend(yjs::encode(&event).into_iter().map(|it| (session, it)));
                continue;
            }
            let mut say = |message: Value| messages.push((session, message));
            match event {
                Event::Joined(joined) => {
                    self.sent.insert(session, joined.revision);
                    let mut state = json!({
                        "type": "document_state", "revision": joined.revision,
                        "sessionId": session, "lastSeq": joined.last_seq, "role": "editor",
                        "color": joined.color,
                        "presence": joined.presence.iter().map(cursor).collect::<Vec<_>>(),
                    });
                    if let Some(content) = joined.content {
                        state["content"] = parse(content.text.to_delta().to_json().as_bytes());
                    }
                    say(state);
                }
                Event::Changes { changes, live } => {
                    for entry in changes.iter() {
                        self.sent.insert(session, entry.revision);
                        say(change(
                            &client,
                            entry.revision,
                            entry.session,
                            &entry.change,
                        ));
                    }
                    if !live {
                        let after = self.sent.get(&session).copied().unwrap_or_default();
                        self.inbox.push(Command::CatchUp { session, after });
                    }
                }
                Event::ReadLog { after, through } => {
                    let mut revision = after;
                    for one in disk.slice(after, through) {
                        revision = revision.next();
                        say(change(&client, revision, None, one));
                    }
                    self.sent.insert(session, through);
                    self.inbox.push(Command::CatchUp {
                        session,
                        after: through,
                    });
                }
                Event::Reconciled {
                    seq,
                    revision,
                    operation,
                } => {
                    self.sent.insert(session, revision);
                    say(json!({
                        "type": "reconciled", "seq": seq, "revision": revision,
                        "operation": parse(operation.to_json().as_bytes()),
                    }));
                }
                Event::Acknowledged { seq, revision } => {
                    say(json!({ "type": "ack", "seq": seq, "revision": revision }));
                }
                Event::Rejected { seq, reject } => {
                    let code = match reject {
                        Reject::TooFarBehind { .. } => "too_far_behind",
                        _ => "refused",
                    };
                    say(json!({
                        "type": "error", "code": code, "message": reject.to_string(), "seq": seq,
                    }));
                }
                Event::Presence(update) => say(json!({
                    "type": "presence_update", "reset": update.reset,
                    "joined": update.joined.iter().map(cursor).collect::<Vec<_>>(),
                    "updated": update.updated.iter().chain(&update.moved).map(cursor).collect::<Vec<_>>(),
                    "left": update.left,
                })),
                Event::Closed(reason) => say(json!({ "closed": format!("{reason:?}") })),
                _ => {}
            }
        }
        messages
    }
}

fn change(
    client: &ClientId,
    revision: Revision,
    session: Option<SessionId>,
    change: &Change,
) -> Value {
    // What is not counted is no submission: it only says where the client is.
    if change.client_id == *client && change.seq > 0 {
        return json!({ "type": "ack", "seq": change.seq, "revision": revision });
    }
    let mut message = json!({
        "type": "operation", "revision": revision, "userId": change.author,
        "operation": parse(&change.delta),
    });
    if let Some(session) = session {
        message["sessionId"] = json!(session);
    }
    message
}

fn parse(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or(Value::Null)
}

fn cursor(presence: &Presence) -> Value {
    let mut cursor = json!({
        "sessionId": presence.session, "userId": presence.user, "name": &*presence.name,
        "color": presence.color,
    });
    if let Some(at) = presence.selection {
        cursor["anchor"] = json!(at.anchor);
        cursor["head"] = json!(at.head);
    }
    cursor
}

/// Each client is another user's.
fn user(client: &ClientId) -> UserId {
    let mut bytes = [0; 16];
    for (byte, of) in bytes.iter_mut().zip(client.as_str().bytes()) {
        *byte = of;
    }
    UserId::from_bytes(bytes)
}

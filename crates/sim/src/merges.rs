//! Many offline merges, without a network: clients of both dialects edit apart from one another,
//! and come back one by one.
//!
//! # What is checked
//!
//! - **convergence**: in the end every client, the server and the log hold the same content.
//! - **exactly once**: what was inserted is there once, unless somebody deleted it.
//! - **never refused**: no edit, however old.

use std::{
    collections::{HashSet, VecDeque},
    fmt::Write,
    ops::AddAssign,
    panic::{AssertUnwindSafe, catch_unwind},
};

use motet_document::{
    Access, Command, Document, Event, Member, Reject, Settings, Start, Submission, content::ROOT,
};
use motet_model::{ClientId, Revision, SessionId, UserId};
use motet_ot::Delta;

use crate::{
    Failure,
    disk::{Disk, Way},
    markers::{self, Markers},
    offline::{self, Identities, Positions, Trouble},
    random::Random,
};

/// Most edits that a client makes while it is away.
const EDITS_MAX: usize = 40;
/// A client that is unlucky this often in a row is left alone.
const LOSSES_MAX: usize = 4;

/// Longer events are cut in the story.
const NOTE_CHARS_MAX: usize = 600;

/// How edits of clients that were offline came into the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// How often a client with edits came back.
    pub returns: u64,
    /// Submissions that were moved to the head.
    pub moved: u64,
    /// Submissions that were merged by identities, made anew for them.
    pub merged: u64,
    /// Submissions that were there when they came: the answer had been lost.
    pub repeated: u64,
    /// Updates of clients that speak identities.
    pub updates: u64,
}

impl AddAssign for Routes {
    fn add_assign(&mut self, more: Self) {
        self.returns += more.returns;
        self.moved += more.moved;
        self.merged += more.merged;
        self.repeated += more.repeated;
        self.updates += more.updates;
    }
}

/// Simulates one document whose clients go offline and come back; `seed` decides everything.
///
/// # Errors
///
/// What it found wrong; boxed, since it holds the whole story.
pub fn merge(seed: u64) -> Result<Routes, Box<Failure>> {
    let run = |story: Option<String>| {
        let mut scene = Scene::new(seed, story);
        let outcome = catch_unwind(AssertUnwindSafe(|| scene.run()))
            .unwrap_or_else(|_| Err("it panicked".to_owned()));
        (outcome, scene)
    };
    let (outcome, scene) = run(None);
    outcome.map(|()| scene.routes).map_err(|what| {
        // Once more, now with every event.
        let (_, scene) = run(Some(String::new()));
        let trace = scene.story.unwrap_or_default();
        Box::new(Failure { seed, what, trace })
    })
}

enum State {
    /// It has not opened the document yet.
    Nothing,
    Positions(Positions),
    Identities(Box<Identities>),
}

struct Client {
    id: ClientId,
    user: UserId,
    speaks_identities: bool,
    state: State,
}

/// The connection was lost while the client waited for something.
struct Lost;

struct Scene {
    random: Random,
    settings: Settings,
    disk: Disk,
    document: Document,
    now_ms: u64,
    sessions: u64,
    names: u64,
    markers: Markers,
    clients: Vec<Client>,
    /// The session of somebody who is always there.
    writer: Option<SessionId>,
    writer_seq: u64,
    routes: Routes,
    story: Option<String>,
}

impl Scene {
    fn new(seed: u64, story: Option<String>) -> Self {
        let mut random = Random::new(seed);
        let settings = Settings {
            // Small, so that some submissions are moved and others merged.
            window_changes_max: 1 + random.index(30),
            catch_up_bytes_max: 1 + random.index(2_000),
            transform_steps_max: 1 + random.below(400),
            ..Settings::default()
        };
        let disk = Disk::default();
        let document = disk.open(&settings).expect("an empty document opens");
        Self {
            random,
            settings,
            disk,
            document,
            now_ms: 0,
            sessions: 0,
            names: 0,
            markers: Markers::default(),
            clients: Vec::new(),
            writer: None,
            writer_seq: 0,
            routes: Routes::default(),
            story,
        }
    }

    fn run(&mut self) -> Result<(), String> {
        for n in 0..2 + self.random.index(4) {
            self.write(4)?;
            let speaks_identities = self.random.chance(0.5);
            self.clients.push(client(n, speaks_identities));
            self.come_back(n, false)?;
        }
        for _ in 0..=self.random.index(2) {
            let mut order: Vec<usize> = (0..self.clients.len()).collect();
            for client in &order {
                self.edit_offline(*client)?;
            }
            self.random.shuffle(&mut order);
            for client in order {
                self.write(6)?;
                self.come_back(client, true)?;
                if self.random.chance(0.1) {
                    self.restart()?;
                }
            }
        }
        // Twice: what the last one brought is new to the first.
        for client in [0..self.clients.len(), 0..self.clients.len()]
            .into_iter()
            .flatten()
        {
            self.come_back(client, false)?;
        }
        self.check()
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let what: String = what().chars().take(NOTE_CHARS_MAX).collect();
            // Writing to a string cannot fail.
            let _written = writeln!(story, "{what}");
        }
    }

    fn session(&mut self) -> SessionId {
        self.sessions += 1;
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&self.sessions.to_be_bytes());
        SessionId::from_bytes(bytes)
    }

    /// A name for the edits of one who speaks identities, never used before.
    fn name(&mut self) -> u64 {
        self.names += 1;
        // Whose is the smaller one matters in a tie.
        (self.random.below(1 << 24) << 8) | self.names
    }

    /// Plans, appends and publishes one command.
    fn perform(&mut self, command: Command) -> Result<Vec<(SessionId, Event)>, String> {
        let is_submission = matches!(&command, Command::Submit { session, .. }
            if self.writer != Some(*session));
        let is_update = matches!(command, Command::Update { .. });
        let (command, way) = self
            .disk
            .prepare(&mut self.document, &self.settings, command)?;
        self.now_ms += 1;
        let (mut events, plan) = self.document.plan(self.now_ms, [command]);
        let changes = plan.changes();
        let count = match way {
            _ if is_update => &mut self.routes.updates,
            Way::Reconciled => &mut self.routes.merged,
            _ if is_submission && changes.is_empty() => &mut self.routes.repeated,
            _ if is_submission => &mut self.routes.moved,
            _ => &mut 0,
        };
        *count += 1;
        self.disk.log.extend(changes);
        let head = Revision::new(self.disk.log.len() as u64);
        events.extend(self.document.commit(plan, head));
        Ok(events)
    }

    fn join(
        &mut self,
        id: &ClientId,
        user: UserId,
        start: Start,
    ) -> Result<(SessionId, Vec<(SessionId, Event)>), String> {
        let session = self.session();
        let member = Member {
            user,
            name: id.as_str().into(),
            color: None,
            access: Access::Write,
        };
        let events = self.perform(Command::Join {
            session,
            member,
            client_id: id.clone(),
            start,
        })?;
        Ok((session, events))
    }

    /// The one who is always there makes some edits on the head.
    fn write(&mut self, edits_max: usize) -> Result<(), String> {
        for _ in 0..self.random.index(edits_max + 1) {
            let session = match self.writer {
                Some(session) => session,
                None => {
                    let (session, _) = self.join(&name("writer"), user(255), Start::Text)?;
                    self.writer = Some(session);
                    session
                }
            };
            let content = self.document.snapshot().content.to_delta();
            let delta = self
                .markers
                .edit(&mut self.random, &mut markers::read(&content));
            self.note(|| format!("the writer edits {}", delta.to_json()));
            self.writer_seq += 1;
            let (base, seq) = (self.document.head(), self.writer_seq);
            let submission = Submission::new(base, seq, offline::decoded(delta));
            let events = self.perform(Command::Submit {
                session,
                submission,
            })?;
            refused(&events)?;
        }
        Ok(())
    }

    fn edit_offline(&mut self, client: usize) -> Result<(), String> {
        let most = if self.random.chance(0.3) {
            EDITS_MAX
        } else {
            6
        };
        let id = self.clients[client].id.clone();
        let mut state = std::mem::replace(&mut self.clients[client].state, State::Nothing);
        let document = match &state {
            State::Nothing => return Ok(()),
            State::Positions(positions) => positions.document()?,
            State::Identities(identities) => identities.replica.to_delta(ROOT),
        };
        let mut text = markers::read(&document);
        for _ in 0..=self.random.index(most) {
            let delta = self.markers.edit(&mut self.random, &mut text);
            self.note(|| format!("{id} edits {}", delta.to_json()));
            match &mut state {
                State::Nothing => {}
                State::Positions(positions) => positions.edit(delta)?,
                State::Identities(identities) => identities.edit(&delta)?,
            }
        }
        if let State::Identities(identities) = &mut state
            && self.random.chance(0.2)
        {
            let name = self.name();
            identities.reopen(name);
        }
        self.clients[client].state = state;
        Ok(())
    }

    /// A client joins, sends what it has and hears what it lacks, and goes. Where that `may_fail`,
    /// its connection may be lost on the way, perhaps until it has edited more.
    fn come_back(&mut self, client: usize, may_fail: bool) -> Result<(), String> {
        for attempt in 0.. {
            let may_fail = may_fail && attempt < LOSSES_MAX;
            let mut state = std::mem::replace(&mut self.clients[client].state, State::Nothing);
            let outcome = match &mut state {
                State::Nothing => {
                    state = self.open(client)?;
                    Ok(())
                }
                State::Positions(positions) => self.resume(client, positions, may_fail)?,
                State::Identities(identities) => self.sync(client, identities, may_fail)?,
            };
            self.clients[client].state = state;
            match outcome {
                Ok(()) => return Ok(()),
                Err(Lost) if may_fail && self.random.chance(0.3) => return Ok(()),
                Err(Lost) if attempt > 2 * LOSSES_MAX => {
                    return Err(format!("{} never comes back", self.clients[client].id));
                }
                Err(Lost) => self.write(4)?,
            }
        }
        Ok(())
    }

    fn open(&mut self, client: usize) -> Result<State, String> {
        let Client {
            ref id,
            user,
            speaks_identities,
            ..
        } = self.clients[client];
        let id = id.clone();
        if speaks_identities {
            let mut identities = Identities::new(self.name());
            let synced = self.sync(client, &mut identities, false)?;
            synced.map_err(|Lost| "lost without a reason".to_owned())?;
            return Ok(State::Identities(Box::new(identities)));
        }
        let (session, events) = self.join(&id, user, Start::Text)?;
        self.perform(Command::Leave { session })?;
        for (_, event) in events {
            if let Event::Joined(joined) = event
                && let Some(content) = joined.content
            {
                let positions = Positions::new(joined.revision, content.text.to_delta());
                return Ok(State::Positions(positions));
            }
        }
        Err(format!("{id} was not let in"))
    }

    /// Positions: joins from its revision, and goes on until nothing is pending.
    fn resume(
        &mut self,
        client: usize,
        positions: &mut Positions,
        may_fail: bool,
    ) -> Result<Result<(), Lost>, String> {
        let (id, user) = (self.clients[client].id.clone(), self.clients[client].user);
        let start = Start::Revision {
            revision: positions.revision,
            pending: positions.has_pending(),
        };
        self.routes.returns += u64::from(positions.has_pending());
        self.note(|| format!("{id} comes back: {start:?}"));
        let (session, events) = self.join(&id, user, start)?;
        let mut queue: VecDeque<_> = events.into();
        if let Some(submission) = positions.submit() {
            queue.extend(self.perform(Command::Submit {
                session,
                submission,
            })?);
        }
        while let Some((to, event)) = queue.pop_front() {
            if to != session {
                continue;
            }
            if may_fail && self.random.chance(0.08) {
                self.note(|| format!("{id} loses its connection before {event:?}"));
                self.perform(Command::Leave { session })?;
                return Ok(Err(Lost));
            }
            let commands = match self.hear(session, &id, positions, event) {
                Ok(commands) => commands,
                Err(Trouble::Fault(what)) => return Err(format!("{id}: {what}")),
                Err(Trouble::Gap) => {
                    self.note(|| format!("{id} misses something"));
                    self.perform(Command::Leave { session })?;
                    return Ok(Err(Lost));
                }
            };
            for command in commands {
                queue.extend(self.perform(command)?);
            }
        }
        self.perform(Command::Leave { session })?;
        if positions.has_pending() {
            return Err(format!("{id} was not answered"));
        }
        Ok(Ok(()))
    }

    /// Returns what the client, or its connection, asks for next.
    fn hear(
        &mut self,
        session: SessionId,
        id: &ClientId,
        positions: &mut Positions,
        event: Event,
    ) -> Result<Vec<Command>, Trouble> {
        self.note(|| format!("{id} hears {event:?}"));
        let mut commands = Vec::new();
        let mut is_free = false;
        match event {
            Event::Changes { changes, live } => {
                let mut sent = positions.revision;
                for entry in changes.iter() {
                    let (change, revision) = (&entry.change, entry.revision);
                    is_free |= take(
                        positions,
                        id,
                        revision,
                        &change.client_id,
                        change.seq,
                        &entry.delta,
                    )?;
                    sent = revision;
                }
                if !live {
                    commands.push(Command::CatchUp {
                        session,
                        after: sent,
                    });
                }
            }
            Event::ReadLog { after, through } => {
                let mut revision = after;
                for change in self.disk.slice(after, through) {
                    revision = revision.next();
                    let delta = motet_ot::decode(&change.delta)
                        .map_err(|error| error.to_string())?
                        .delta;
                    is_free |= take(
                        positions,
                        id,
                        revision,
                        &change.client_id,
                        change.seq,
                        &delta,
                    )?;
                }
                commands.push(Command::CatchUp {
                    session,
                    after: through,
                });
            }
            Event::Acknowledged { seq, revision } => {
                is_free = positions.acknowledge(seq, revision)?
            }
            Event::Reconciled {
                seq,
                revision,
                operation,
            } => {
                is_free = positions.reconciled(seq, revision, &operation)?;
            }
            Event::Rejected {
                reject: Reject::TooFarBehind { .. },
                ..
            } => {
                return Err(Trouble::Gap);
            }
            Event::Rejected { reject, .. } => {
                return Err(Trouble::Fault(format!("refused: {reject}")));
            }
            Event::Closed(reason) => return Err(Trouble::Fault(format!("closed: {reason:?}"))),
            _ => {}
        }
        if is_free && let Some(submission) = positions.submit() {
            commands.push(Command::Submit {
                session,
                submission,
            });
        }
        Ok(commands)
    }

    /// Identities: sends what the server lacks, and asks for what it has.
    fn sync(
        &mut self,
        client: usize,
        identities: &mut Identities,
        may_fail: bool,
    ) -> Result<Result<(), Lost>, String> {
        let (id, user) = (self.clients[client].id.clone(), self.clients[client].user);
        self.routes.returns += u64::from(!identities.waiting.is_empty());
        self.note(|| format!("{id} comes back"));
        let (session, _) = self.join(&id, user, Start::Identities)?;
        let known = self.document.content().replica().state_vector();
        let mut updates = identities.waiting.clone();
        match self.random.index(4) {
            // One by one, as they were made.
            0 => {}
            // By another way, in another order, some of them twice.
            1 => {
                updates.extend_from_within(..updates.len() / 2);
                self.random.shuffle(&mut updates);
            }
            _ => updates = vec![identities.missing(&known)],
        }
        let mut commands: Vec<Command> = updates
            .into_iter()
            .map(|update| Command::Update { session, update })
            .collect();
        let state_vector = identities.replica.state_vector();
        let at = self.random.index(commands.len() + 1);
        commands.insert(
            at,
            Command::Sync {
                session,
                state_vector,
            },
        );
        for command in commands {
            self.note(|| format!("{id} sends {command:?}"));
            let events = self.perform(command)?;
            refused(&events)?;
            if may_fail && self.random.chance(0.05) {
                self.note(|| format!("{id} loses its connection"));
                self.perform(Command::Leave { session })?;
                return Ok(Err(Lost));
            }
            for (_, event) in events.into_iter().filter(|(to, _)| *to == session) {
                match event {
                    Event::Missing { update, .. } => identities.receive(&update)?,
                    Event::Changes { changes, .. } => {
                        for entry in changes.iter() {
                            identities.receive(&entry.change.update)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        identities.waiting.clear();
        self.perform(Command::Leave { session })?;
        Ok(Ok(()))
    }

    /// The server is started anew.
    fn restart(&mut self) -> Result<(), String> {
        self.note(|| "the server starts anew".to_owned());
        if self.random.chance(0.5) {
            self.disk.checkpoint = Some(self.document.state().encode());
        }
        self.document = self.disk.open(&self.settings)?;
        self.writer = None;
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        self.document.content().assert_invariants();
        let content = self.document.snapshot().content.to_delta();
        for Client { id, state, .. } in &self.clients {
            let own = match state {
                State::Nothing => return Err(format!("{id} has nothing")),
                State::Positions(positions) => positions.document()?,
                State::Identities(identities) => identities.replica.to_delta(ROOT),
            };
            if own != content {
                let differs = content.diff(&own).map_err(|error| error.to_string())?;
                let differs = differs.to_json();
                return Err(format!(
                    "{id} has something else than the server: {differs}"
                ));
            }
        }
        self.markers.check(&markers::read(&content))?;
        let mut seen = HashSet::new();
        let counted = self.disk.log.iter().filter(|change| change.seq > 0);
        for change in counted {
            if !seen.insert((&change.client_id, change.seq)) {
                return Err(format!(
                    "{} {} was applied twice",
                    change.client_id, change.seq
                ));
            }
        }
        self.disk.check(&self.settings, &self.document)
    }
}

/// A change reaches a client that speaks positions. Returns whether it was its submission in
/// flight.
fn take(
    positions: &mut Positions,
    id: &ClientId,
    revision: Revision,
    author: &ClientId,
    seq: u64,
    delta: &Delta,
) -> Result<bool, Trouble> {
    if author == id {
        return positions.acknowledge(seq, revision);
    }
    positions.remote(revision, delta)?;
    Ok(false)
}

fn refused(events: &[(SessionId, Event)]) -> Result<(), String> {
    for (_, event) in events {
        if let Event::Rejected { reject, .. } = event {
            return Err(format!("refused: {reject}"));
        }
    }
    Ok(())
}

fn client(n: usize, speaks_identities: bool) -> Client {
    Client {
        id: name(&format!("{}{n}", if speaks_identities { "y" } else { "c" })),
        user: user(u8::try_from(n).unwrap_or(u8::MAX)),
        speaks_identities,
        state: State::Nothing,
    }
}

fn name(name: &str) -> ClientId {
    name.parse().expect("a short name")
}

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

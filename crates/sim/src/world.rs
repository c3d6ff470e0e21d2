//! One seed: clients, a network, servers that share a disk, and everything that can go wrong with them.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt::Write,
};

use motet_document::{Settings, Start};
use motet_model::{Change, Revision, SessionId};
use serde_json::{Value, json};

use crate::{Agent, check::Truth, disk::Disk, random::Random, server::Server};

/// How long the trouble lasts, in virtual ms.
const TROUBLE_MS: u64 = 40_000;
/// How long everything then gets to become quiet.
const QUIET_MS: u64 = 120_000;
/// How often connections tell that they live.
const HEARD_MS: u64 = 5_000;
/// How often clients of Yjs say who they are.
const RENEWED_MS: u64 = 15_000;
/// How often a server compares its head with the log's, should a hint have been lost.
const COMPARED_MS: u64 = 3_000;

/// A seed that showed a fault, and what happened up to it.
#[derive(Debug)]
pub struct Failure {
    /// The seed: it gives the same run again.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
    /// Every event, in order.
    pub trace: String,
}

/// What can happen.
#[derive(Debug)]
enum Happening {
    /// A client does something, or loses its connection, or its tab is closed and opened.
    Client(usize),
    /// A message arrives at the server.
    ToServer { connection: u64, message: Value },
    /// A message arrives at a client.
    ToClient { connection: u64, message: Value },
    /// A client tries to connect.
    Connect(usize),
    /// A session's queue in this life of a server has drained.
    Drained { life: Life, session: SessionId },
    /// A server takes up what has arrived.
    Plan(usize),
    /// The disk answers, or is asked again, about what was planned in this life of a server.
    Written { life: Life },
    /// An append of which nobody knew arrives at the disk after all.
    Landed {
        base: Revision,
        changes: Vec<Change>,
    },
    /// A server hears that another has appended; or it is time to look for itself.
    Look(usize),
    /// It is time for that.
    Compare(usize),
    /// A server loses power.
    Crash(usize),
    /// It comes back.
    Restart(usize),
    /// Time passes for presence.
    Tick,
}

/// Counts the lives of a server: a write of an earlier one must not commit in a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    node: usize,
    number: u64,
}

/// A server, while it has power, and which of its lives this is.
struct Node {
    server: Option<Server>,
    life: Life,
}

pub(crate) struct Client {
    pub(crate) name: String,
    /// It speaks identities.
    pub(crate) is_yjs: bool,
    /// The number of its connection, while it has one.
    connection: Option<u64>,
    /// The server that it is or was connected to.
    node: usize,
    /// Its submissions that were acknowledged, as which changes.
    pub(crate) acknowledged: HashSet<u64>,
    /// Its updates that the server has, and that it was told are stored.
    unanswered: VecDeque<Value>,
    pub(crate) stored: Vec<Value>,
    /// When the last message each way arrives: a connection keeps its order.
    last_arrival_ms: [u64; 2],
    heard_ms: u64,
    renewed_ms: u64,
}

struct World<'a> {
    agent: &'a mut Agent,
    random: Random,
    now_ms: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    scheduled: u64,
    clients: Vec<Client>,
    /// By connection: whose, and with which server.
    sessions: HashMap<u64, (usize, SessionId, usize)>,
    connections: u64,
    nodes: Vec<Node>,
    disk: Disk,
    settings: Settings,
    trace: String,
}

/// Runs one seed.
///
/// # Errors
///
/// What it found wrong; boxed, since it holds the whole story.
pub fn run(seed: u64, agent: &mut Agent) -> Result<(), Box<Failure>> {
    let mut random = Random::new(seed);
    let count = 1 + random.below(3);
    let settings = Settings {
        // Small, so that everything falls out of the window and catches up in steps.
        window_changes_max: 1 + usize::try_from(random.below(30)).unwrap_or(0),
        catch_up_bytes_max: 1 + usize::try_from(random.below(2_000)).unwrap_or(0),
        // And so that much is too dear to transform.
        transform_steps_max: 1 + random.below(200),
        shared: count > 1,
        ..Settings::default()
    };
    let nodes = 0..usize::try_from(count).unwrap_or(1);
    let nodes = nodes.map(|node| Node {
        server: None,
        life: Life { node, number: 0 },
    });
    let nodes = nodes.collect();
    let mut world = World {
        agent,
        random,
        now_ms: 0,
        agenda: BTreeMap::new(),
        scheduled: 0,
        clients: Vec::new(),
        sessions: HashMap::new(),
        connections: 0,
        nodes,
        disk: Disk::default(),
        settings,
        trace: String::new(),
    };
    let outcome = world.run();
    outcome.map_err(|what| {
        Box::new(Failure {
            seed,
            what,
            trace: world.trace,
        })
    })
}

impl World<'_> {
    fn run(&mut self) -> Result<(), String> {
        self.ask(&json!({ "op": "reset" }))?;
        let count = 2 + self.random.below(3);
        for n in 0..count {
            // The first is the one that the others are tested against.
            let is_yjs = n > 0 && self.random.chance(0.4);
            let name = format!("{}{n}", if is_yjs { "y" } else { "c" });
            let mut request = json!({ "op": "start", "client": name });
            if is_yjs {
                request["yjs"] = self.yjs_client();
            }
            self.ask(&request)?;
            self.clients.push(Client {
                name,
                is_yjs,
                connection: None,
                node: 0,
                acknowledged: HashSet::new(),
                unanswered: VecDeque::new(),
                stored: Vec::new(),
                last_arrival_ms: [0; 2],
                heard_ms: 0,
                renewed_ms: 0,
            });
            let client = self.clients.len() - 1;
            self.after(0, Happening::Connect(client));
            self.after(100, Happening::Client(client));
        }
        for node in 0..self.nodes.len() {
            self.after(0, Happening::Restart(node));
            self.after(COMPARED_MS, Happening::Compare(node));
            if self.random.chance(0.7) {
                let at = 1_000 + self.random.below(TROUBLE_MS / 2);
                self.after(at, Happening::Crash(node));
            }
        }
        self.after(0, Happening::Tick);
        while let Some(((at_ms, _), happening)) = self.agenda.pop_first() {
            if at_ms > TROUBLE_MS + QUIET_MS {
                break;
            }
            self.now_ms = at_ms;
            self.happen(happening)?;
        }
        self.check()
    }

    /// A client id of Yjs, which it chooses anew whenever a document is opened.
    fn yjs_client(&mut self) -> Value {
        json!(self.random.below(1 << 32))
    }

    fn trouble(&self) -> bool {
        self.now_ms < TROUBLE_MS
    }

    fn after(&mut self, delay_ms: u64, happening: Happening) {
        self.scheduled += 1;
        self.agenda
            .insert((self.now_ms + delay_ms, self.scheduled), happening);
    }

    fn note(&mut self, what: &str) {
        // Writing to a string cannot fail.
        let _written = writeln!(self.trace, "{:>7} {what}", self.now_ms);
    }

    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        self.agent.ask(request).map_err(|error| error.to_string())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
        match happening {
            Happening::Client(client) => self.client_acts(client),
            Happening::Connect(client) => {
                self.connect(client);
                Ok(())
            }
            Happening::ToServer {
                connection,
                message,
            } => self.server_hears(connection, &message),
            Happening::ToClient {
                connection,
                message,
            } => self.client_hears(connection, message),
            Happening::Drained { life, session } => {
                let node = &mut self.nodes[life.node];
                if life == node.life
                    && let Some(server) = &mut node.server
                {
                    server.drained(session);
                    self.after(0, Happening::Plan(life.node));
                }
                Ok(())
            }
            Happening::Plan(node) => self.plan(node),
            Happening::Written { life } => self.written(life),
            Happening::Landed { base, changes } => {
                // It may be late, or have been made up for: then it does nothing.
                let _late = self.disk.append(base, &changes);
                Ok(())
            }
            Happening::Look(node) => self.look(node),
            Happening::Compare(node) => {
                self.after(COMPARED_MS, Happening::Compare(node));
                self.look(node)
            }
            Happening::Crash(node) => {
                self.crash(node);
                Ok(())
            }
            Happening::Restart(node) => self.restart(node),
            Happening::Tick => self.tick(),
        }
    }

    fn client_acts(&mut self, client: usize) -> Result<(), String> {
        if !self.trouble() {
            return Ok(());
        }
        let name = self.clients[client].name.clone();
        let dice = self.random.unit();
        if dice < 0.75 {
            let dice = [(); 4].map(|()| self.random.unit());
            let answer = self.ask(&json!({ "op": "edit", "client": name, "dice": dice }))?;
            self.client_sends(client, &answer);
        } else if dice < 0.88 {
            let dice = [self.random.unit()];
            let answer = self.ask(&json!({ "op": "select", "client": name, "dice": dice }))?;
            self.client_sends(client, &answer);
        } else if dice < 0.96 {
            self.disconnect(client)?;
        } else {
            self.disconnect(client)?;
            self.note(&format!("{name} reloads"));
            let dice = [self.random.unit()];
            let mut request = json!({ "op": "reload", "client": name, "dice": dice });
            if self.clients[client].is_yjs {
                request["yjs"] = self.yjs_client();
            }
            self.ask(&request)?;
        }
        // Mostly in bursts.
        let delay_ms = if self.random.chance(0.8) { 80 } else { 2_000 };
        let delay_ms = 1 + self.random.below(delay_ms * 2);
        self.after(delay_ms, Happening::Client(client));
        Ok(())
    }

    fn client_sends(&mut self, client: usize, answer: &Value) {
        let Some(connection) = self.clients[client].connection else {
            return;
        };
        for message in answer["send"].as_array().into_iter().flatten() {
            self.note(&format!("{} sends {message}", self.clients[client].name));
            self.transmit(
                client,
                0,
                Happening::ToServer {
                    connection,
                    message: message.clone(),
                },
            );
            if self.trouble() && self.random.chance(0.05) {
                let message = message.clone();
                self.transmit(
                    client,
                    0,
                    Happening::ToServer {
                        connection,
                        message,
                    },
                );
            }
        }
        for revision in answer["acknowledged"].as_array().into_iter().flatten() {
            self.clients[client].acknowledged.extend(revision.as_u64());
        }
    }

    /// Schedules an arrival; a connection delays, but keeps its order.
    fn transmit(&mut self, client: usize, way: usize, happening: Happening) {
        let delay_ms = if self.random.chance(0.9) { 40 } else { 1_500 };
        let at_ms = self.now_ms + 1 + self.random.below(delay_ms);
        let last_ms = &mut self.clients[client].last_arrival_ms[way];
        *last_ms = at_ms.max(*last_ms);
        let delay_ms = *last_ms - self.now_ms;
        self.after(delay_ms, happening);
    }

    fn connect(&mut self, client: usize) {
        if self.clients[client].connection.is_some() {
            return;
        }
        let node = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap_or(0);
        if self.nodes[node].server.is_none() {
            let delay_ms = 100 + self.random.below(1_000);
            self.after(delay_ms, Happening::Connect(client));
            return;
        }
        self.connections += 1;
        let connection = self.connections;
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&connection.to_be_bytes());
        self.sessions
            .insert(connection, (client, SessionId::from_bytes(bytes), node));
        self.clients[client].connection = Some(connection);
        self.clients[client].node = node;
        self.clients[client].last_arrival_ms = [self.now_ms; 2];
        self.note(&format!("{} connects to {node}", self.clients[client].name));
        let message = json!({ "join": true });
        self.transmit(
            client,
            0,
            Happening::ToServer {
                connection,
                message,
            },
        );
    }

    /// The connection is lost: what is on its way does not arrive. The server hears of it later.
    fn disconnect(&mut self, client: usize) -> Result<(), String> {
        let Some(connection) = self.clients[client].connection.take() else {
            return Ok(());
        };
        self.clients[client].unanswered.clear();
        let name = self.clients[client].name.clone();
        self.note(&format!("{name} loses its connection"));
        self.ask(&json!({ "op": "disconnected", "client": name }))?;
        let delay_ms = self.random.below(3_000);
        let message = json!({ "lost": true });
        self.after(
            delay_ms,
            Happening::ToServer {
                connection,
                message,
            },
        );
        let delay_ms = self.random.below(4_000);
        self.after(delay_ms, Happening::Connect(client));
        Ok(())
    }

    fn server_hears(&mut self, connection: u64, message: &Value) -> Result<(), String> {
        let Some(&(client, session, node)) = self.sessions.get(&connection) else {
            return Ok(());
        };
        let lost = self.clients[client].connection != Some(connection);
        let Some(server) = &mut self.nodes[node].server else {
            return Ok(());
        };
        if message.get("lost").is_some() {
            server.leave(session);
        } else if lost {
            return Ok(());
        } else if message.get("join").is_some() {
            let name = self.clients[client].name.clone();
            let start = self.start_of(client)?;
            self.note(&format!("{name} joins from {start:?}"));
            if let Some(server) = &mut self.nodes[node].server {
                server.join(session, &name, start);
            }
        } else {
            if message["type"] == "update" {
                let update = message["update"].clone();
                self.clients[client].unanswered.push_back(update);
            }
            server.receive(session, message)?;
        }
        if self.trouble()
            && self.random.chance(0.02)
            && let Some(server) = &mut self.nodes[node].server
            && server.planned.is_none()
        {
            server.overflow(session);
            let life = self.nodes[node].life;
            let delay_ms = self.random.below(1_000);
            self.after(delay_ms, Happening::Drained { life, session });
        }
        // While an append is under way the next batch gathers.
        let delay_ms = self.random.below(5);
        self.after(delay_ms, Happening::Plan(node));
        Ok(())
    }

    /// Where a client's new session starts from.
    fn start_of(&mut self, client: usize) -> Result<Start, String> {
        let Client { name, is_yjs, .. } = &self.clients[client];
        if *is_yjs {
            return Ok(Start::Identities);
        }
        let state = json!({ "op": "none", "client": name });
        let state = self.ask(&state)?;
        let pending = state["pending"] == json!(true);
        Ok(state["revision"]
            .as_u64()
            .map_or(Start::Text, |from| Start::Revision {
                revision: Revision::new(from),
                pending,
            }))
    }

    fn plan(&mut self, node: usize) -> Result<(), String> {
        let now_ms = self.now_ms;
        let Node { server, life } = &mut self.nodes[node];
        let Some(server) = server else {
            return Ok(());
        };
        let life = *life;
        if let Some(messages) = server.plan(now_ms, &self.disk)? {
            self.dispatch(messages);
            let delay_ms = self.random.below(30);
            self.after(delay_ms, Happening::Written { life });
        }
        Ok(())
    }

    /// Appends what a server has planned; what it is told of that may be nothing.
    fn written(&mut self, life: Life) -> Result<(), String> {
        let node = life.node;
        let Some(server) = &self.nodes[node].server else {
            return Ok(());
        };
        let Some(plan) = server
            .planned
            .as_ref()
            .filter(|_| self.nodes[node].life == life)
        else {
            return Ok(());
        };
        let (base, changes) = (plan.base(), plan.changes());
        if changes.is_empty() {
            return self.committed(node, false);
        }
        let dice = if self.trouble() {
            self.random.unit()
        } else {
            1.0
        };
        if dice < 0.15 {
            // The node is told that it failed, or nothing; and asks again.
            if dice < 0.03 {
                self.note(&format!("{node} appends, and is not told"));
                let _unknown = self.disk.append(base, &changes);
            } else if dice < 0.06 {
                self.note(&format!("{node} appends, and that arrives later"));
                let delay_ms = self.random.below(300);
                self.after(delay_ms, Happening::Landed { base, changes });
            } else {
                self.note(&format!("{node} finds no disk"));
            }
            let delay_ms = self.random.below(if dice < 0.13 { 100 } else { 5_000 });
            self.after(delay_ms, Happening::Written { life });
            return Ok(());
        }
        match self.disk.append(base, &changes) {
            Ok(()) | Err(true) => {}
            Err(false) => {
                self.note(&format!("{node} loses a race"));
                let Some(server) = &mut self.nodes[node].server else {
                    return Ok(());
                };
                let messages = server.abort(&self.disk)?;
                self.dispatch(messages);
                let delay_ms = self.random.below(30);
                self.after(delay_ms, Happening::Plan(node));
                return Ok(());
            }
        }
        // Written, and the power goes before anyone hears of it.
        if self.trouble() && self.random.chance(0.01) {
            self.crash(node);
            return Ok(());
        }
        self.committed(node, true)
    }

    fn committed(&mut self, node: usize, is_news: bool) -> Result<(), String> {
        let Some(server) = &mut self.nodes[node].server else {
            return Ok(());
        };
        let messages = server.commit(&self.disk);
        if self.random.chance(0.1) {
            self.disk.checkpoint = Some(server.checkpoint());
        }
        self.dispatch(messages);
        self.after(0, Happening::Plan(node));
        // The others are told, or not, or twice.
        for other in (0..self.nodes.len()).filter(|other| is_news && *other != node) {
            while !self.random.chance(0.4) {
                let delay_ms = if self.random.chance(0.8) { 20 } else { 2_000 };
                let delay_ms = self.random.below(delay_ms);
                self.after(delay_ms, Happening::Look(other));
            }
        }
        Ok(())
    }

    /// A server looks what others have appended.
    fn look(&mut self, node: usize) -> Result<(), String> {
        if let Some(server) = &mut self.nodes[node].server {
            let messages = server.look(&self.disk)?;
            self.dispatch(messages);
            self.after(0, Happening::Plan(node));
        }
        Ok(())
    }

    fn dispatch(&mut self, messages: Vec<(SessionId, Value)>) {
        for (session, message) in messages {
            let of = self.sessions.iter().find(|(_, (_, id, _))| *id == session);
            let Some((&connection, &(client, ..))) = of else {
                continue;
            };
            if self.clients[client].connection == Some(connection) {
                self.transmit(
                    client,
                    1,
                    Happening::ToClient {
                        connection,
                        message,
                    },
                );
            }
        }
    }

    fn client_hears(&mut self, connection: u64, message: Value) -> Result<(), String> {
        let Some(&(client, ..)) = self.sessions.get(&connection) else {
            return Ok(());
        };
        if self.clients[client].connection != Some(connection) {
            return Ok(());
        }
        let name = self.clients[client].name.clone();
        self.note(&format!("{name} hears {message}"));
        // A submission that is too far behind is reconciled when its client has joined anew.
        if message["type"] == "error" && message["code"] != "too_far_behind" {
            return Err(format!("{name} was refused what it may do: {message}"));
        }
        if message.get("closed").is_some() {
            return self.disconnect(client);
        }
        if message["type"] == "stored" {
            let of = &mut self.clients[client];
            let update = of.unanswered.pop_front();
            of.stored.extend(update);
        }
        let now_ms = self.now_ms;
        let request = json!({ "op": "message", "client": name, "message": message, "now": now_ms });
        let answer = self.ask(&request)?;
        self.client_sends(client, &answer);
        if answer["resume"] == true {
            self.disconnect(client)?;
        }
        Ok(())
    }

    fn crash(&mut self, node: usize) {
        self.note(&format!("server {node} loses power"));
        self.nodes[node].server = None;
        self.nodes[node].life.number += 1;
        let delay_ms = 50 + self.random.below(3_000);
        self.after(delay_ms, Happening::Restart(node));
    }

    fn restart(&mut self, node: usize) -> Result<(), String> {
        self.note(&format!("server {node} starts"));
        let server = Server::open(&self.disk, self.settings.clone())?;
        self.nodes[node].server = Some(server);
        // Connections to its earlier life are gone.
        for client in 0..self.clients.len() {
            if self.clients[client].node == node {
                self.disconnect(client)?;
            }
        }
        if self.trouble() && self.random.chance(0.3) {
            let delay_ms = 1_000 + self.random.below(TROUBLE_MS / 2);
            self.after(delay_ms, Happening::Crash(node));
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), String> {
        let now_ms = self.now_ms;
        for client in 0..self.clients.len() {
            let of = &mut self.clients[client];
            if of.is_yjs && now_ms >= of.renewed_ms + RENEWED_MS {
                of.renewed_ms = now_ms;
                let request = json!({ "op": "renew", "client": of.name, "now": now_ms });
                let answer = self.ask(&request)?;
                self.client_sends(client, &answer);
            }
        }
        for client in &mut self.clients {
            let Some(connection) = client.connection else {
                continue;
            };
            if now_ms >= client.heard_ms + HEARD_MS
                && let Some((_, session, node)) = self.sessions.get(&connection)
                && let Some(server) = &mut self.nodes[*node].server
            {
                client.heard_ms = now_ms;
                server.heard(*session);
            }
        }
        for node in 0..self.nodes.len() {
            if let Some(server) = &mut self.nodes[node].server {
                let messages = server.tick(now_ms, &self.disk);
                self.dispatch(messages);
                self.after(0, Happening::Plan(node));
            }
        }
        self.after(500, Happening::Tick);
        Ok(())
    }

    /// All is quiet: is all well?
    fn check(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.clients.iter().map(|it| it.name.clone()).collect();
        let state = |name: &String| self.ask(&json!({ "op": "state", "client": name }));
        let states: Vec<Value> = names.iter().map(state).collect::<Result<_, _>>()?;
        for (node, of) in self.nodes.iter().enumerate() {
            let server = of.server.as_ref();
            let server = server.ok_or(format!("server {node} did not come back"))?;
            self.disk.check(&self.settings, server.document())?;
            let truth = Truth::new(server, &self.disk)?;
            // Who is here is known to the server that they are connected to.
            let here = self.clients.iter().zip(&states);
            let here: Vec<_> = here.filter(|(client, _)| client.node == node).collect();
            let names = here.iter().map(|(client, _)| client.name.clone());
            let names: Vec<String> = names.collect();
            for (client, state) in here {
                truth.client(client, state, &names)?;
            }
        }
        Ok(())
    }
}

//! The servers under test: processes of their own, on other cores than the generator.

mod motet;
mod peers;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
};

use anyhow::Context;
use clap::ValueEnum;
use rustix::process::{Signal, kill_process};
use serde::Serialize;
use tempfile::TempDir;

pub(crate) use self::motet::Stores;
use crate::{
    dialects::{
        Dialect, Document,
        ot::Ot,
        sharedb::ShareDb,
        yjs::{Form, Yjs},
    },
    system::{Cores, Usage, process, usage},
};

/// A server, and the language in which it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Against {
    /// Ours, in its own dialect.
    Motet,
    /// Ours, as y-websocket.
    MotetYjs,
    /// Ours, as Hocuspocus.
    MotetHocuspocus,
    /// y-websocket's own server, in Node.
    YWebsocket,
    /// Hocuspocus, in Node.
    Hocuspocus,
    /// ShareDB with rich text, in Node.
    Sharedb,
    /// Passes on what it gets, and does nothing else: the limit of what sockets bear.
    Broadcaster,
}

impl Against {
    /// How it is called on a command line, and in reports.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |it| it.get_name().to_owned())
    }

    /// Whether it is ours, in whatever dialect.
    fn is_motet(self) -> bool {
        matches!(self, Self::Motet | Self::MotetYjs | Self::MotetHocuspocus)
    }

    /// Clients for it.
    pub(crate) fn dialect(self, documents: Vec<Document>, clients: usize) -> Box<dyn Dialect> {
        match self {
            Self::Motet => Box::new(Ot::new(documents, clients, 0)),
            Self::MotetYjs => Box::new(Yjs::new(documents, Form::YWebsocket("/yjs/"))),
            Self::MotetHocuspocus => Box::new(Yjs::new(documents, Form::Hocuspocus("/hocuspocus"))),
            Self::Hocuspocus => Box::new(Yjs::new(documents, Form::Hocuspocus("/"))),
            Self::Sharedb => Box::new(ShareDb::new(documents, clients)),
            Self::YWebsocket | Self::Broadcaster => {
                Box::new(Yjs::new(documents, Form::YWebsocket("/")))
            }
        }
    }
}

/// How servers are started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The `motet` binary.
    pub(crate) motet: PathBuf,
    /// How many nodes of it.
    pub(crate) nodes: usize,
    pub(crate) stores: Stores,
    /// Where the peers' packages are.
    pub(crate) peers: PathBuf,
    /// Whether peers are to store what they are sent.
    pub(crate) persist: bool,
    pub(crate) cores: Cores,
}

/// Running servers that are one installation.
pub(crate) struct Servers {
    running: Vec<Running>,
    account: Option<motet::Account>,
    place: Place,
}

/// Where servers keep their things. It goes with this.
pub(crate) struct Place {
    data: TempDir,
    schema: Option<motet_testing::Schema>,
}

/// How often nodes appended, and how often another one was first.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Appends {
    pub(crate) appends: u64,
    pub(crate) lost: u64,
}

impl Servers {
    /// Starts servers with nothing in them.
    ///
    /// # Errors
    ///
    /// They do not start.
    pub(crate) fn start(against: Against, setup: &Setup) -> anyhow::Result<Self> {
        let place = motet::place(&setup.stores)?;
        let running = Self::run(against, setup, &place)?;
        let account = if against.is_motet() {
            Some(motet::Account::new(running[0].address)?)
        } else {
            None
        };
        Ok(Self {
            running,
            account,
            place,
        })
    }

    /// Stops all, and starts them again with what they have stored. Documents stay what they are called.
    ///
    /// # Errors
    ///
    /// They cannot be stopped, or do not start.
    pub(crate) fn restart(mut self, against: Against, setup: &Setup) -> anyhow::Result<Self> {
        for running in self.running.drain(..) {
            running.stop()?;
        }
        self.running = Self::run(against, setup, &self.place)?;
        Ok(self)
    }

    fn run(against: Against, setup: &Setup, place: &Place) -> anyhow::Result<Vec<Running>> {
        let commands = match against {
            Against::Motet | Against::MotetYjs | Against::MotetHocuspocus => {
                motet::commands(setup, place)
            }
            Against::YWebsocket => vec![peers::command("y-websocket.js", setup, place)?],
            Against::Hocuspocus => vec![peers::command("hocuspocus.js", setup, place)?],
            Against::Sharedb => vec![peers::command("sharedb.js", setup, place)?],
            Against::Broadcaster => vec![peers::broadcaster()?],
        };
        let mut running = Vec::with_capacity(commands.len());
        for command in commands {
            running.push(setup.cores.on_servers(|| Running::start(command))?);
        }
        Ok(running)
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.running.iter().map(|it| it.address).collect()
    }

    /// Makes documents, empty ones.
    ///
    /// # Errors
    ///
    /// The server refuses.
    pub(crate) fn create_documents(&self, count: usize) -> anyhow::Result<Vec<Document>> {
        match &self.account {
            Some(account) => (0..count).map(|_| account.create_document()).collect(),
            // They are there as soon as somebody asks for them.
            None => Ok((0..count)
                .map(|number| Document {
                    name: format!("bench-{number}"),
                    token: String::new(),
                })
                .collect()),
        }
    }

    /// What they all use.
    pub(crate) fn usage(&self) -> Usage {
        let mut all = Usage::default();
        for it in &self.running {
            let used = usage(it.child.id());
            all.cpu_seconds += used.cpu_seconds;
            all.memory_bytes += used.memory_bytes;
        }
        all
    }

    /// Stops all, and returns what they say of their appends.
    ///
    /// # Errors
    ///
    /// They cannot be stopped.
    pub(crate) fn stop(self) -> anyhow::Result<Appends> {
        let mut all = Appends::default();
        for running in self.running {
            if let Some(said) = running.stop()? {
                all.appends += said.appends;
                all.lost += said.lost;
            }
        }
        drop(self.place);
        Ok(all)
    }
}

/// A server's process.
struct Running {
    child: Child,
    address: SocketAddr,
    /// What it says of its appends when it stops.
    said: Option<JoinHandle<Option<Appends>>>,
}

impl Running {
    /// Starts a process, which says `listening on ` and its address when it does.
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let stderr = child.stderr.take().context("no stderr")?;
        let said = std::thread::spawn(move || {
            let mut said = None;
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                complain(&line);
                said = motet::appends(&line).or(said);
            }
            said
        });
        let stdout = child.stdout.take().context("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut running = Self {
            child,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            said: Some(said),
        };
        running.address = loop {
            let line = lines.next().context("the server ended at once")??;
            if let Some((_, address)) = line.split_once("listening on ") {
                let address = address.trim().trim_start_matches("http://");
                break address.parse()?;
            }
        };
        // Keep the pipe open, so that the server can go on printing.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(running)
    }

    fn stop(mut self) -> anyhow::Result<Option<Appends>> {
        kill_process(process(self.child.id())?, Signal::TERM)?;
        self.child.wait()?;
        let said = self.said.take().and_then(|it| it.join().ok());
        Ok(said.flatten())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, or nobody is left who would end it.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Says what a server complains about.
fn complain(line: &str) {
    if ["ERROR", "WARN", "Error", "panicked"]
        .iter()
        .any(|it| line.contains(it))
    {
        eprintln!("server: {line}");
    }
}

//! Thousands of WebSocket connections in one loop.
//!
//! One thread, one epoll, one buffer to read into: a connection that is quiet costs a few hundred bytes, and
//! nothing is copied or allocated for a frame that arrives whole.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    ops::Range,
    os::fd::OwnedFd,
    time::Duration,
};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use rustix::{
    event::epoll,
    io::Errno,
    net::{self, AddressFamily, SocketFlags, SocketType, sockopt},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use crate::{
    clock::{Clock, ns},
    dialects::{Dialect, Heard},
    frame,
    load::histogram,
};

/// So much is read at a time.
const READ_BYTES: usize = 256 << 10;
/// So many sockets are looked at in one go.
const EVENTS_MAX: usize = 1_024;
/// What the timer is called among the sockets.
const TIMER: u64 = u64::MAX;
/// From one address so many connections go to one port: the system has 28,000 ports for them.
const CONNECTIONS_PER_ADDRESS: usize = 20_000;
/// So much the system keeps for somebody who does not read.
const DEAF_BYTES: usize = 16 << 10;
/// Connections that are being opened at a time, so that no server's queue of them overflows.
pub(crate) const OPENING_MAX: usize = 64;

/// Something that a client heard, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) client: usize,
    pub(crate) heard: Heard,
    /// By the clock of the fleet.
    pub(crate) at: u64,
}

/// All clients of a measurement.
pub(crate) struct Fleet {
    pub(crate) dialect: Box<dyn Dialect>,
    pub(crate) clock: Clock,
    /// Where the servers listen; clients are dealt out to them.
    servers: Vec<SocketAddr>,
    clients: Vec<Client>,
    epoll: OwnedFd,
    timer: OwnedFd,
    /// Those that are yet to open a connection.
    waiting: VecDeque<usize>,
    opening: usize,
    opening_max: usize,
    joined: usize,
    /// Those that have something to write.
    unwritten: Vec<usize>,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    /// What this client is sent is kept.
    recorded: Option<usize>,
    record: Vec<Vec<u8>>,
    pub(crate) received_bytes: u64,
    /// From when clients began to connect to when they had joined.
    pub(crate) joining_us: Histogram<u64>,
}

#[derive(Default)]
struct Client {
    socket: Option<TcpStream>,
    server: usize,
    stage: Stage,
    /// When it began to connect.
    began: u64,
    /// A frame that has not arrived whole.
    inbox: Vec<u8>,
    /// A message of several frames that has not.
    message: Vec<u8>,
    outbox: Vec<u8>,
    /// It has something to write, and is among the unwritten or waits for its socket.
    writing: bool,
    /// It does not read.
    deaf: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Closed,
    Connecting,
    Upgrading,
    Joining,
    Joined,
}

impl Fleet {
    /// As many clients, each of which is to connect to the server that `deal` says.
    pub(crate) fn new(
        dialect: Box<dyn Dialect>,
        servers: Vec<SocketAddr>,
        clients: usize,
        deal: impl Fn(usize) -> usize,
    ) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        epoll::add(
            &epoll,
            &timer,
            epoll::EventData::new_u64(TIMER),
            epoll::EventFlags::IN,
        )?;
        let client = |index| Client {
            server: deal(index),
            ..Client::default()
        };
        Ok(Self {
            dialect,
            clock: Clock::start(),
            servers,
            clients: (0..clients).map(client).collect(),
            epoll,
            timer,
            waiting: VecDeque::new(),
            opening: 0,
            opening_max: OPENING_MAX,
            joined: 0,
            unwritten: Vec::new(),
            events: Vec::with_capacity(EVENTS_MAX),
            buffer: vec![0; READ_BYTES],
            recorded: None,
            record: Vec::new(),
            received_bytes: 0,
            joining_us: histogram(),
        })
    }

    /// Has these clients join, so many at a time.
    pub(crate) fn join(&mut self, clients: impl IntoIterator<Item = usize>, at_a_time: usize) {
        self.opening_max = at_a_time;
        self.waiting.extend(clients);
    }

    /// Keeps what this client is sent from now on.
    pub(crate) fn record(&mut self, client: usize) {
        self.recorded = Some(client);
        self.record.clear();
    }

    /// What was kept.
    pub(crate) fn recorded(&mut self) -> Vec<Vec<u8>> {
        self.recorded = None;
        std::mem::take(&mut self.record)
    }

    /// The client's `nth` edit; it leaves with the next [`Fleet::turn`], as all that clients say.
    pub(crate) fn edit(&mut self, client: usize, nth: u64) {
        self.speak(client, |dialect, out| dialect.edit(client, nth, out));
    }

    /// The client's `nth` edit is a text of so many characters.
    pub(crate) fn paste(&mut self, client: usize, nth: u64, characters: usize) {
        self.speak(client, |dialect, out| {
            dialect.paste(client, nth, characters, out)
        });
    }

    /// The client points at its `nth` place.
    pub(crate) fn point(&mut self, client: usize, nth: u64) {
        self.speak(client, |dialect, out| dialect.point(client, nth, out));
    }

    /// Lets a client read, or not. What it does not read is to wait at the server, as on a slow line, and not in
    /// the system's buffers.
    pub(crate) fn set_deaf(&mut self, client: usize, deaf: bool) -> anyhow::Result<()> {
        self.clients[client].deaf = deaf;
        if let Some(socket) = &self.clients[client].socket
            && deaf
        {
            sockopt::set_socket_recv_buffer_size(socket, DEAF_BYTES)?;
        }
        self.watch(client)
    }

    /// Writes what is to be written, waits until something arrives or `until` is reached, and tells what arrived.
    ///
    /// # Errors
    ///
    /// A connection ended, or the server refused something.
    pub(crate) fn turn(&mut self, until: u64, hear: &mut dyn FnMut(Arrival)) -> anyhow::Result<()> {
        self.open_waiting()?;
        let mut unwritten = std::mem::take(&mut self.unwritten);
        for client in unwritten.drain(..) {
            self.write(client)?;
        }
        self.unwritten = unwritten;
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        self.wait(until, &mut events)?;
        for event in &events {
            let name = event.data.u64();
            if name != TIMER {
                let flags = event.flags;
                self.attend(usize::try_from(name)?, flags, hear)?;
            }
        }
        self.events = events;
        Ok(())
    }

    /// Has the memory ready in which these clients take so many bytes: the system gives it page by page, and that
    /// would count as the server's time.
    pub(crate) fn make_room(&mut self, clients: Range<usize>, size_bytes: usize) {
        for client in &mut self.clients[clients] {
            client.inbox = vec![1; size_bytes];
            client.inbox.clear();
        }
    }

    /// Turns until all who were told to have joined.
    ///
    /// # Errors
    ///
    /// As [`Fleet::turn`]; or it takes longer than that.
    pub(crate) fn join_all(
        &mut self,
        within: Duration,
        hear: &mut dyn FnMut(Arrival),
    ) -> anyhow::Result<()> {
        let deadline = self.clock.ns() + ns(within);
        while self.opening > 0 || !self.waiting.is_empty() {
            self.turn(deadline, hear)?;
            if self.clock.ns() >= deadline {
                bail!("only {} clients have joined after {within:?}", self.joined);
            }
        }
        Ok(())
    }

    fn wait(&self, until: u64, events: &mut Vec<epoll::Event>) -> anyhow::Result<()> {
        let left = until.saturating_sub(self.clock.ns());
        let mut timeout = Some(Timespec::default());
        if left > 0 {
            // Timeouts of epoll are whole milliseconds.
            let once = Itimerspec {
                it_interval: Timespec::default(),
                it_value: Timespec::try_from(Duration::from_nanos(left))?,
            };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
            timeout = None;
        }
        let space = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, space, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn open_waiting(&mut self) -> anyhow::Result<()> {
        while self.opening < self.opening_max {
            let Some(client) = self.waiting.pop_front() else {
                break;
            };
            self.connect(client)
                .with_context(|| format!("client {client} cannot connect"))?;
            self.opening += 1;
        }
        Ok(())
    }

    fn connect(&mut self, client: usize) -> anyhow::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if let Some(further @ 1..) = client.checked_div(CONNECTIONS_PER_ADDRESS) {
            let last = u8::try_from(further + 1).context("too many connections")?;
            let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
            net::bind(&socket, &source)?;
        }
        match net::connect(&socket, &self.servers[self.clients[client].server]) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let data = epoll::EventData::new_u64(client as u64);
        epoll::add(&self.epoll, &socket, data, epoll::EventFlags::OUT)?;
        self.clients[client].socket = Some(TcpStream::from(socket));
        self.clients[client].stage = Stage::Connecting;
        self.clients[client].began = self.clock.ns();
        Ok(())
    }

    /// Asks to be told of what the client waits for now.
    fn watch(&self, client: usize) -> anyhow::Result<()> {
        let it = &self.clients[client];
        let Some(socket) = &it.socket else {
            return Ok(());
        };
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, !it.deaf);
        flags.set(epoll::EventFlags::OUT, it.writing && !it.outbox.is_empty());
        let data = epoll::EventData::new_u64(client as u64);
        epoll::modify(&self.epoll, socket, data, flags)?;
        Ok(())
    }

    fn attend(
        &mut self,
        client: usize,
        flags: epoll::EventFlags,
        hear: &mut dyn FnMut(Arrival),
    ) -> anyhow::Result<()> {
        if self.clients[client].stage == Stage::Connecting {
            return self.connected(client);
        }
        if flags.contains(epoll::EventFlags::OUT) {
            self.write(client)?;
            if !self.clients[client].writing {
                self.watch(client)?;
            }
        }
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR)
        {
            self.read(client, hear)
                .with_context(|| format!("client {client}"))?;
        }
        Ok(())
    }

    fn connected(&mut self, client: usize) -> anyhow::Result<()> {
        let path = self.dialect.path(client);
        let it = &mut self.clients[client];
        let socket = it.socket.as_ref().context("it has a socket")?;
        if let Some(error) = socket.take_error()? {
            bail!("client {client} cannot connect: {error}");
        }
        let host = self.servers[it.server].to_string();
        let request = frame::request(&host, &path);
        it.outbox.extend_from_slice(request.as_bytes());
        it.stage = Stage::Upgrading;
        self.write(client)?;
        self.watch(client)
    }

    /// Writes as much as the socket takes.
    fn write(&mut self, client: usize) -> anyhow::Result<()> {
        let it = &mut self.clients[client];
        let Some(socket) = &mut it.socket else {
            return Ok(());
        };
        let mut written = 0;
        while written < it.outbox.len() {
            match socket.write(&it.outbox[written..]) {
                Ok(0) => bail!("client {client}: the server closed the connection"),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).with_context(|| format!("client {client}")),
            }
        }
        it.outbox.drain(..written);
        it.writing = !it.outbox.is_empty();
        if it.writing {
            self.watch(client)?;
        }
        Ok(())
    }

    /// Reads once, and takes all whole frames.
    fn read(&mut self, client: usize, hear: &mut dyn FnMut(Arrival)) -> anyhow::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let it = &mut self.clients[client];
        let socket = it.socket.as_mut().context("it has a socket")?;
        let count = match socket.read(&mut buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error.into()),
        };
        let at = self.clock.ns();
        self.received_bytes += count as u64;
        let mut inbox = std::mem::take(&mut it.inbox);
        if inbox.is_empty() {
            let taken = self.take_frames(client, &buffer[..count], at, hear)?;
            // What is left is freed again as soon as the rest of it is there.
            inbox.extend_from_slice(&buffer[taken..count]);
        } else {
            inbox.extend_from_slice(&buffer[..count]);
            let taken = self.take_frames(client, &inbox, at, hear)?;
            if taken == inbox.len() {
                inbox = Vec::new();
            } else {
                inbox.drain(..taken);
            }
        }
        self.clients[client].inbox = inbox;
        self.buffer = buffer;
        Ok(())
    }

    /// Takes all whole frames off the front of `bytes`, and returns how much they were.
    fn take_frames(
        &mut self,
        client: usize,
        bytes: &[u8],
        at: u64,
        hear: &mut dyn FnMut(Arrival),
    ) -> anyhow::Result<usize> {
        let mut taken = 0;
        if self.clients[client].stage == Stage::Upgrading {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                return Ok(0);
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                let answer = String::from_utf8_lossy(bytes);
                bail!("the server opens no WebSocket: {answer}");
            }
            taken = end + 4;
            self.clients[client].stage = Stage::Joining;
            self.speak(client, |dialect, outbox| dialect.open(client, outbox))?;
        }
        while let Some(found) = frame::find(&bytes[taken..]) {
            let payload = &bytes[taken + found.start..taken + found.end];
            taken += found.end;
            match found.opcode {
                frame::TEXT | frame::BINARY if found.last => {
                    self.hear(client, payload, at, hear)?;
                }
                frame::TEXT | frame::BINARY | frame::CONTINUATION => {
                    let it = &mut self.clients[client];
                    it.message.extend_from_slice(payload);
                    if found.last {
                        let message = std::mem::take(&mut it.message);
                        self.hear(client, &message, at, hear)?;
                    }
                }
                frame::PING => self.speak(client, |_, outbox| {
                    frame::put_masked(outbox, frame::PONG, payload);
                }),
                frame::CLOSE => {
                    let code = payload
                        .first_chunk()
                        .map_or(0, |it| u16::from_be_bytes(*it));
                    bail!("the server closed the connection with {code}");
                }
                _ => {}
            }
        }
        Ok(taken)
    }

    /// Lets the dialect put something into a client's outbox.
    fn speak<T>(
        &mut self,
        client: usize,
        say: impl FnOnce(&mut dyn Dialect, &mut Vec<u8>) -> T,
    ) -> T {
        let it = &mut self.clients[client];
        let said = say(self.dialect.as_mut(), &mut it.outbox);
        if !it.outbox.is_empty() && !it.writing {
            it.writing = true;
            self.unwritten.push(client);
        }
        said
    }

    fn hear(
        &mut self,
        client: usize,
        message: &[u8],
        at: u64,
        hear: &mut dyn FnMut(Arrival),
    ) -> anyhow::Result<()> {
        if self.recorded == Some(client) {
            self.record.push(message.to_vec());
        }
        let Self {
            dialect,
            clients,
            unwritten,
            opening,
            joined,
            joining_us,
            ..
        } = self;
        let it = &mut clients[client];
        let mut outbox = std::mem::take(&mut it.outbox);
        let read = dialect.read(client, message, &mut outbox, &mut |heard| {
            if matches!(heard, Heard::Joined { .. }) && it.stage == Stage::Joining {
                it.stage = Stage::Joined;
                *opening -= 1;
                *joined += 1;
                joining_us.saturating_record((at - it.began) / 1_000);
            }
            hear(Arrival { client, heard, at });
        });
        it.outbox = outbox;
        if !it.outbox.is_empty() && !it.writing {
            it.writing = true;
            unwritten.push(client);
        }
        read
    }
}

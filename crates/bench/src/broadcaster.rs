//! A server that passes on what it gets, and does nothing else: no edit is read, ordered or stored. What it bears
//! is what sockets bear, so it says how much of another server's time is its own.
//!
//! It speaks y-websocket as far as clients need it to begin: whoever comes is told that there is nothing, and is
//! sent from then on what the others of the same path say. All that is ready goes out in one write.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use anyhow::Context;
use rustix::{
    event::epoll::{self, EventData, EventFlags},
    io::Errno,
    net::sockopt,
};

use crate::frame;

const READ_BYTES: usize = 256 << 10;
const EVENTS_MAX: usize = 1_024;
/// What the listener is called among the sockets.
const LISTENER: u64 = u64::MAX;
/// The answer of somebody who has nothing: sync, step 2, an empty update.
const NOTHING: &[u8] = &[0, 1, 2, 0, 0];
/// What begins a message of the kind that is passed on: sync, update.
const UPDATE: &[u8] = &[0, 2];

struct Client {
    socket: TcpStream,
    /// Its room, once it has said which.
    room: Option<usize>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// It waits until its socket takes more.
    blocked: bool,
}

#[derive(Default)]
struct Broadcaster {
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    rooms: HashMap<Vec<u8>, usize>,
    members: Vec<Vec<usize>>,
    /// What was said since the last write, by room: by whom, and the frame.
    said: Vec<Vec<(usize, Vec<u8>)>>,
}

/// Serves until the process is ended.
///
/// # Errors
///
/// It cannot listen.
pub(crate) fn serve(listen: SocketAddr, tell: impl FnOnce(SocketAddr)) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).context("cannot listen")?;
    listener.set_nonblocking(true)?;
    tell(listener.local_addr()?);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(
        &epoll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    let mut server = Broadcaster::default();
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        events.clear();
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let (name, flags) = (event.data.u64(), event.flags);
            if name == LISTENER {
                server.accept(&listener, &epoll)?;
                continue;
            }
            let client = usize::try_from(name)?;
            if flags.contains(EventFlags::OUT) {
                server.write(client, &epoll)?;
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                server.read(client, &mut buffer);
            }
        }
        server.pass_on(&epoll)?;
    }
}

impl Broadcaster {
    fn accept(
        &mut self,
        listener: &TcpListener,
        epoll: &impl std::os::fd::AsFd,
    ) -> anyhow::Result<()> {
        loop {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            socket.set_nonblocking(true)?;
            sockopt::set_tcp_nodelay(&socket, true)?;
            let client = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            epoll::add(
                epoll,
                &socket,
                EventData::new_u64(client as u64),
                EventFlags::IN,
            )?;
            self.clients[client] = Some(Client {
                socket,
                room: None,
                inbox: Vec::new(),
                outbox: Vec::new(),
                blocked: false,
            });
        }
    }

    fn read(&mut self, client: usize, buffer: &mut [u8]) {
        let Some(it) = &mut self.clients[client] else {
            return;
        };
        match it.socket.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(0) | Err(_) => return self.leave(client),
            Ok(count) => it.inbox.extend_from_slice(&buffer[..count]),
        }
        let mut inbox = std::mem::take(&mut it.inbox);
        let room = match it.room {
            Some(room) => room,
            None => match self.enter(client, &mut inbox) {
                Some(room) => room,
                None => {
                    if let Some(it) = &mut self.clients[client] {
                        it.inbox = inbox;
                    }
                    return;
                }
            },
        };
        let mut taken = 0;
        while let Some(found) = frame::find(&inbox[taken..]) {
            let payload = &mut inbox[taken + found.start..taken + found.end];
            taken += found.end;
            if let Some(mask) = found.mask {
                frame::unmask(payload, mask);
            }
            if found.opcode == frame::CLOSE {
                return self.leave(client);
            }
            if found.opcode == frame::BINARY && payload.starts_with(UPDATE) {
                let mut passed_on = Vec::new();
                frame::put(&mut passed_on, frame::BINARY, payload);
                self.said[room].push((client, passed_on));
            }
        }
        inbox.drain(..taken);
        if let Some(it) = &mut self.clients[client] {
            it.inbox = inbox;
        }
    }

    /// Opens the WebSocket once all of its request is there, and returns the room.
    fn enter(&mut self, client: usize, inbox: &mut Vec<u8>) -> Option<usize> {
        let end = memchr::memmem::find(inbox, b"\r\n\r\n")? + 4;
        let path = inbox.split(|it| *it == b' ').nth(1)?.to_vec();
        inbox.drain(..end);
        let room = *self.rooms.entry(path).or_insert_with(|| {
            self.members.push(Vec::new());
            self.said.push(Vec::new());
            self.members.len() - 1
        });
        self.members[room].push(client);
        let it = self.clients[client].as_mut()?;
        it.room = Some(room);
        // The generator does not look at the key.
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        it.outbox.extend_from_slice(answer.as_bytes());
        frame::put(&mut it.outbox, frame::BINARY, NOTHING);
        // It leaves with what is passed on.
        self.said[room].push((client, Vec::new()));
        Some(room)
    }

    fn leave(&mut self, client: usize) {
        if let Some(room) = self.clients[client].take().and_then(|it| it.room) {
            self.members[room].retain(|it| *it != client);
        }
        self.free.push(client);
    }

    fn pass_on(&mut self, epoll: &impl std::os::fd::AsFd) -> anyhow::Result<()> {
        for room in 0..self.said.len() {
            let said = std::mem::take(&mut self.said[room]);
            if said.is_empty() {
                continue;
            }
            for client in self.members[room].clone() {
                let Some(it) = &mut self.clients[client] else {
                    continue;
                };
                for (_, frame) in said.iter().filter(|(by, _)| *by != client) {
                    it.outbox.extend_from_slice(frame);
                }
                if !it.blocked {
                    self.write(client, epoll)?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, client: usize, epoll: &impl std::os::fd::AsFd) -> anyhow::Result<()> {
        let Some(it) = &mut self.clients[client] else {
            return Ok(());
        };
        let mut written = 0;
        while written < it.outbox.len() {
            match it.socket.write(&it.outbox[written..]) {
                Ok(count @ 1..) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(0) | Err(_) => {
                    self.leave(client);
                    return Ok(());
                }
            }
        }
        it.outbox.drain(..written);
        let blocked = !it.outbox.is_empty();
        if blocked != it.blocked {
            it.blocked = blocked;
            let mut flags = EventFlags::IN;
            flags.set(EventFlags::OUT, blocked);
            epoll::modify(epoll, &it.socket, EventData::new_u64(client as u64), flags)?;
        }
        Ok(())
    }
}

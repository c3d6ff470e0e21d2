//! Submissions through an open document of 100 kB with sixteen sessions: planned and committed.

use std::hint::black_box;

use motet_document::{Access, Command, Document, Member, Settings, Start, Submission};
use motet_model::{Change, DocumentId, Revision, SessionId, UserId};
use motet_ot::Delta;

use super::{
    TIMES,
    ot::{bold, typed},
    places,
};
use crate::Work;

const SESSIONS: u8 = 16;
const BATCH: usize = 64;
const BEHIND: usize = 1_000;
const LINE: &str = "lorem ipsum dolor sit amet\n";
const LINES: usize = 100_000 / LINE.len();
const LEN_UTF16: usize = LINES * LINE.len();

/// The document, and where those who type in it are.
struct Room {
    document: Document,
    /// Submissions of each session.
    seqs: [u64; SESSIONS as usize],
    /// How much was typed.
    typed: usize,
}

fn session(n: u8) -> SessionId {
    SessionId::from_bytes([n + 1; 16])
}

impl Room {
    fn new() -> Self {
        let id = DocumentId::from_bytes([1; 16]);
        let document = Document::open(id, None, Settings::default());
        let mut room = Self {
            document: document.expect("a new document"),
            seqs: [0; SESSIONS as usize],
            typed: 0,
        };
        let joins = (0..SESSIONS).map(|n| Command::Join {
            session: session(n),
            member: Member {
                user: UserId::from_bytes([n; 16]),
                name: format!("User {n}").into(),
                color: None,
                access: Access::Write,
            },
            client_id: format!("01890a5d-ac96-774b-bcce-b302099a80{n:02}")
                .parse()
                .expect("a client id"),
            start: Start::Text,
        });
        room.run(joins.collect());
        let text = Delta::new().insert(&LINE.repeat(LINES));
        let command = room.submit(0, Revision::ZERO, &text);
        room.run(vec![command]);
        room
    }

    fn submit(&mut self, n: u8, base: Revision, delta: &Delta) -> Command {
        let seq = &mut self.seqs[usize::from(n)];
        *seq += 1;
        let decoded = motet_ot::decode(delta.to_json().as_bytes());
        Command::Submit {
            session: session(n),
            submission: Submission::new(base, *seq, decoded.expect("a delta")),
        }
    }

    /// As many characters, by all in turn, each of whom has seen what there is.
    fn typing(&mut self, count: usize) -> Vec<Command> {
        let base = self.document.head();
        let places: Vec<_> = places(LEN_UTF16).skip(self.typed).take(count).collect();
        self.typed += count;
        let sessions = (0..SESSIONS).cycle();
        let pairs = places.into_iter().zip(sessions);
        pairs
            .map(|(at, n)| self.submit(n, base, &typed(at)))
            .collect()
    }

    fn run(&mut self, commands: Vec<Command>) -> Vec<Change> {
        let submitted = commands.iter().filter(|it| it.is_edit()).count();
        let (_told, plan) = self.document.plan(1_700_000_000_000, commands);
        let changes = plan.changes();
        let head = self.document.head().plus(changes.len() as u64);
        let events = self.document.commit(plan, head);
        assert_eq!(changes.len(), submitted, "none is refused");
        black_box(events);
        changes
    }
}

/// As many changes one after the other, as the log gets them.
pub(super) fn changes(count: usize) -> Vec<Change> {
    let mut room = Room::new();
    let commands = room.typing(count);
    room.run(commands)
}

/// Characters one after the other, each of which is a commit of its own.
pub(super) fn one_submission() -> Work {
    let mut room = Room::new();
    let head = room.document.head().get();
    let edits = places(LEN_UTF16).zip(head..).take(TIMES);
    let mut commands = Vec::new();
    for (at, base) in edits {
        commands.push(vec![room.submit(0, Revision::new(base), &typed(at))]);
    }
    counted(room, commands)
}

/// Sixteen who type at once.
pub(super) fn batch() -> Work {
    let mut room = Room::new();
    let first = room.typing(BATCH);
    room.run(first);
    let commands = room.typing(BATCH);
    counted(room, vec![commands])
}

/// A character of somebody who has missed what others typed.
pub(super) fn splice_behind() -> Work {
    behind(&typed(LEN_UTF16 / 2))
}

/// A format, which no short cut leads past characters.
pub(super) fn format_behind() -> Work {
    behind(&bold(LEN_UTF16 / 2, 1_000))
}

fn behind(delta: &Delta) -> Work {
    let mut room = Room::new();
    let base = room.document.head();
    let missed = room.typing(BEHIND);
    room.run(missed);
    let command = room.submit(0, base, delta);
    counted(room, vec![vec![command]])
}

fn counted(mut room: Room, commands: Vec<Vec<Command>>) -> Work {
    let mut commands = Some(commands);
    Box::new(move || {
        for commands in commands.take().into_iter().flatten() {
            black_box(room.run(commands));
        }
    })
}

//! What clients say to servers, and how an edit is recognised that comes from one.
//!
//! A dialect speaks for all clients of a measurement. It writes frames, and reads just enough of those that
//! arrive to know which edits are in them: reading is what a generator does most, since each edit is written
//! once and arrives at everybody else.

pub(crate) mod ot;
pub(crate) mod sharedb;
pub(crate) mod update;
pub(crate) mod yjs;

use anyhow::Context;

use crate::frame;

/// Something that a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The client has joined its document, which has this revision where it has any.
    Joined { revision: u64 },
    /// Edits of `author`: `count` from its `first` one on.
    Edits {
        author: usize,
        first: u64,
        count: u64,
    },
    /// The change that made this revision, by whomever.
    Change { revision: u64 },
    /// The client's own edit, and the revision that it made.
    Acknowledged { nth: u64, revision: u64 },
    /// Where `author` points: its `nth` place.
    Presence { author: usize, nth: u64 },
}

/// One document, and how to reach it.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Its name or id.
    pub(crate) name: String,
    /// What lets clients in, if anything has to.
    pub(crate) token: String,
}

/// The clients of a measurement, in one language.
///
/// Clients are numbered, and dealt out to the documents in turn: client *c* is in document *c* modulo their number.
pub(crate) trait Dialect {
    /// What a client asks for to open its connection.
    fn path(&self, client: usize) -> String;

    /// What a client says first.
    fn open(&mut self, client: usize, out: &mut Vec<u8>) -> anyhow::Result<()>;

    /// The client's `nth` edit, from 0: a character.
    fn edit(&mut self, client: usize, nth: u64, out: &mut Vec<u8>);

    /// The client's `nth` edit, if it is a text of so many characters.
    fn paste(&mut self, client: usize, nth: u64, characters: usize, out: &mut Vec<u8>);

    /// Whether the clients can point somewhere.
    fn has_presence(&self) -> bool;

    /// The client points at its `nth` place, from 1.
    fn point(&mut self, client: usize, nth: u64, out: &mut Vec<u8>);

    /// Reads a message. What has to be answered at once is put into `out`.
    fn read(
        &mut self,
        client: usize,
        message: &[u8],
        out: &mut Vec<u8>,
        hear: &mut dyn FnMut(Heard),
    ) -> anyhow::Result<()>;

    /// The text that somebody has who got these messages and has written nothing.
    fn text(&self, messages: &[Vec<u8>]) -> anyhow::Result<String>;
}

/// The number at the front of some text.
fn number(bytes: &[u8]) -> anyhow::Result<u64> {
    let mut number = None;
    for digit in bytes.iter().take_while(|it| it.is_ascii_digit()) {
        number = Some(number.unwrap_or(0) * 10 + u64::from(digit - b'0'));
    }
    number.context("there is no number where one is expected")
}

/// Appends a client's frame of text.
fn put_text(out: &mut Vec<u8>, text: &str) {
    frame::put_masked(out, frame::TEXT, text.as_bytes());
}

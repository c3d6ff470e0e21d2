//! Clients that come back after very many edits, of their own and of others.

use std::collections::BTreeSet;

use crate::support::{
    Account, Client, Peer, Server, data_dir,
    editor::{Editor, decoded},
    random::Random,
    text_of,
    yjs::{Identities, YjsClient},
};
use motet_ot::{Attributes, Delta, Operation, Side};
use serde_json::{Value, json};

/// Edits of others while a client is away, and its own.
const EDITS: usize = 20_000;

/// Length of the document before, in characters: the edits do not all touch one another.
const BASE: usize = 50_000;

/// Longest submission as JSON that a client sends at once, in bytes here.
const SUBMISSION_JSON_MAX: usize = 512 << 10;

/// Each character is inserted once in all, so that none can be lost or doubled unseen.
struct Characters(std::ops::RangeInclusive<char>);

impl Characters {
    fn new() -> Self {
        // Two units of UTF-16 each.
        Self('\u{10000}'..=char::MAX)
    }

    fn next(&mut self) -> char {
        self.0.next().unwrap()
    }
}

/// Somebody who edits a text at random, and remembers what must become of it.
struct Author {
    random: Random,
    text: Vec<char>,
    inserted: BTreeSet<char>,
    deleted: BTreeSet<char>,
}

impl Author {
    fn new(seed: u64, text: &str) -> Self {
        Self {
            random: Random::new(seed),
            text: text.chars().collect(),
            inserted: BTreeSet::new(),
            deleted: BTreeSet::new(),
        }
    }

    fn edit(&mut self, characters: &mut Characters) -> Delta {
        let at = self.random.index(self.text.len() + 1);
        let len = (1 + self.random.index(3)).min(self.text.len() - at);
        let before = Delta::new().retain(2 * at);
        match self.random.index(10) {
            0..2 if len > 0 => {
                self.deleted.extend(self.text.drain(at..at + len));
                before.delete(2 * len)
            }
            2 if len > 0 => {
                let bold = [("bold".to_owned(), Value::Bool(true))];
                before.retain_with(2 * len, Attributes::from_iter(bold))
            }
            _ => {
                let word: Vec<char> = (0..=self.random.index(5))
                    .map(|_| characters.next())
                    .collect();
                self.text.splice(at..at, word.iter().copied());
                self.inserted.extend(&word);
                before.insert(&String::from_iter(word))
            }
        }
    }
}

/// These edits as one. Composed in pairs: one after the other would take the square of their number.
fn composed(deltas: impl IntoIterator<Item = Delta>) -> Delta {
    let join = |first: Delta, second: &Delta| first.compose(second).unwrap();
    let mut parts: Vec<(usize, Delta)> = Vec::new();
    for delta in deltas {
        let mut last = (1, delta);
        while let Some((len, part)) = parts.pop_if(|(len, _)| *len <= last.0) {
            last = (len + last.0, join(part, &last.1));
        }
        parts.push(last);
    }
    let parts = parts.into_iter().map(|(_, part)| part);
    parts.reduce(|first, second| join(first, &second)).unwrap()
}

/// The first operations that fit a submission, and the others as they stand behind them.
fn split(delta: &Delta) -> (Delta, Delta) {
    let (mut first, mut rest) = (Delta::new(), Delta::new());
    let (mut size_bytes, mut position) = (0, 0);
    for operation in delta.ops() {
        size_bytes += serde_json::to_string(operation).unwrap().len();
        if size_bytes <= SUBMISSION_JSON_MAX {
            first.push(operation.clone());
            position += match operation {
                Operation::Insert { insert, .. } => insert.len_utf16(),
                Operation::Retain { len_utf16, .. } => *len_utf16,
                Operation::Delete { .. } => 0,
            };
        } else {
            rest.push(operation.clone());
        }
    }
    if rest.is_empty() {
        return (first, rest);
    }
    let mut second = Delta::new().retain(position);
    rest.ops()
        .iter()
        .cloned()
        .for_each(|operation| second.push(operation));
    (first, second)
}

/// A connection to a document that the client has at `revision`, with an edit to send.
async fn come_back(server: &Server, account: &Account, document: &str, query: &str) -> Client {
    let path = format!("/collab/{document}?token={}&{query}", account.token);
    let mut client = server.connect(&path).await;
    let state = client.expect("document_state").await;
    assert_eq!(state.get("content"), None);
    client
}

/// The document as a client finds it that comes for the first time.
async fn head(server: &Server, account: &Account, document: &str) -> (u64, Delta) {
    let (_, state) = server.join(account, document, "reader").await;
    let revision = state["revision"].as_u64().unwrap();
    (revision, decoded(&state["content"]))
}

/// Edits of somebody who speaks identities, without waiting, and then until they are committed.
async fn edit_by_identities(
    writer: &mut YjsClient,
    author: &mut Author,
    characters: &mut Characters,
    edits: usize,
) {
    let deltas = (0..edits).map(|_| author.edit(characters));
    writer.edit_all(deltas).await;
    writer.sync().await;
}

/// Insertions until the document is at `head`, many at a time on one base, which the server moves over
/// one another.
async fn insert_by_positions(
    writer: &mut Client,
    author: &mut Author,
    characters: &mut Characters,
    mut revision: u64,
    head: u64,
) {
    const FRAME: u64 = 50;
    let mut seq = 0;
    while revision < head {
        let count = FRAME.min(head - revision);
        let edits = (0..count).map(|_| {
            seq += 1;
            let at = author.random.index(author.text.len() + 1);
            let character = characters.next();
            author.inserted.insert(character);
            let delta = Delta::new().retain(2 * at).insert(&character.to_string());
            json!({
                "type": "edit_operation", "seq": seq, "revision": revision,
                "operation": serde_json::from_str::<Value>(&delta.to_json()).unwrap(),
            })
        });
        let edits: Vec<Value> = edits.collect();
        writer.send(&Value::Array(edits)).await;
        for _ in 0..count {
            // Where they came to stand does not matter to the next ones, only how many they are.
            author.text.push('x');
            revision = writer.expect("ack").await["revision"].as_u64().unwrap();
        }
    }
}

#[tokio::test]
async fn many_edits_made_offline_meet_as_many_by_others() {
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let mut characters = Characters::new();
    let base: String = (0..BASE).map(|_| characters.next()).collect();
    let (first, _) = server.join(&ada, &document, "first").await;
    let mut first = Editor::new(first);
    first.edit(Delta::new().insert(&base)).await;
    first.reach(1).await;
    let mut offline = server
        .yjs(&ada, &document, Identities::new(1))
        .await
        .document;

    // Others edit: three of four by identities, one by positions.
    let mut others = Author::new(1, &base);
    let mut writer = server.yjs(&ada, &document, Identities::new(2)).await;
    let most = EDITS / 4 * 3;
    edit_by_identities(&mut writer, &mut others, &mut characters, most).await;
    let (mut second, state) = server.join(&ada, &document, "second").await;
    // Making bold what is bold is no change, so there may be less.
    let revision = state["revision"].as_u64().unwrap();
    let until = EDITS as u64 + 1;
    insert_by_positions(&mut second, &mut others, &mut characters, revision, until).await;

    // One who speaks positions comes back. It sends as much as it may, and the rest on what came of that.
    let mut positions = Author::new(2, &base);
    let edits = (0..EDITS).map(|_| positions.edit(&mut characters));
    let (submission, mut rest) = split(&composed(edits));
    assert!(!rest.is_empty(), "it is too much for one");
    let query = "clientId=o&revision=1&pending=true";
    let client = come_back(&server, &ada, &document, query).await;
    let mut client = Editor::at(client, 1, Delta::new().insert(&base));
    client.edit(submission).await;
    client.settle().await;
    assert!(client.was_reconciled);
    assert_eq!(
        (client.revision, client.content.clone()),
        head(&server, &ada, &document).await
    );
    rest = client.latest.transform(&rest, Side::Left);
    client.edit(rest).await;
    client.settle().await;
    assert!(!client.was_reconciled);
    assert_eq!(
        (client.revision, client.content.clone()),
        head(&server, &ada, &document).await
    );

    // One who speaks identities comes back with one update.
    let mut identities = Author::new(3, &base);
    for _ in 0..EDITS {
        offline.edit(&identities.edit(&mut characters));
    }
    let mut offline = server.yjs(&ada, &document, offline).await;
    // It has answered the server's step 1 by then, and the second answer comes after that is taken.
    offline.sync().await;
    client.reach(client.revision + 1).await;
    writer.sync().await;

    let (_, content) = head(&server, &ada, &document).await;
    assert_eq!(client.content, content);
    assert_eq!(offline.document.content(), content);
    assert_eq!(writer.document.content(), content);
    let authors = [others, positions, identities];
    let mut expected: BTreeSet<char> = base.chars().collect();
    expected.extend(authors.iter().flat_map(|author| &author.inserted));
    for author in &authors {
        expected.retain(|character| !author.deleted.contains(character));
    }
    let text: Value = serde_json::from_str(&content.to_json()).unwrap();
    let text: Vec<char> = text_of(&text).chars().collect();
    let found: BTreeSet<char> = text.iter().copied().collect();
    assert_eq!(found.len(), text.len(), "none is there twice");
    let lost = expected.difference(&found).count();
    let undead = found.difference(&expected).count();
    assert_eq!((lost, undead), (0, 0));
}

#[tokio::test]
async fn a_base_from_the_first_revision_of_very_many() {
    const CHANGES: usize = 100_000;
    let data = data_dir();
    let server = Server::start(data.path(), &[]);
    let ada = server.register("ada");
    let document = server.create(&ada);
    let (first, _) = server.join(&ada, &document, "first").await;
    let mut first = Editor::new(first);
    first.edit(Delta::new().insert("0123456789")).await;
    first.reach(1).await;
    drop(first);
    // Somebody types and takes it back: the document stays small.
    let mut writer = server.yjs(&ada, &document, Identities::new(1)).await;
    let typed = [
        Delta::new().retain(3).insert("a"),
        Delta::new().retain(9).insert("b"),
        Delta::new().retain(3).delete(1),
        Delta::new().retain(8).delete(1),
    ];
    writer
        .edit_all(typed.into_iter().cycle().take(CHANGES))
        .await;
    writer.sync().await;
    let head_is = CHANGES as u64 + 1;

    let base = Delta::new().insert("0123456789");
    for (n, pending) in [(1, true), (2, false)] {
        let query = format!("clientId=c{n}&revision=1&pending={pending}");
        let client = come_back(&server, &ada, &document, &query).await;
        let mut client = Editor::at(client, 1, base.clone());
        client.edit(Delta::new().retain(5).insert("<edit>")).await;
        client.settle().await;
        assert_eq!(client.was_reconciled, pending);
        assert_eq!(client.revision, head_is + n);
        let found = head(&server, &ada, &document).await;
        assert_eq!((client.revision, client.content), found);
    }
    let (_, text) = server.document(&ada, &document);
    assert_eq!(text, "01234<edit><edit>56789");
}

//! What must hold when the faults are over, and how long edits took meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use motet_document::{Document, Settings};
use motet_log::{DocumentLog, PostgresLog, PostgresSettings};
use motet_model::Revision;
use motet_ot::Delta;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Writer, pen,
    pipe::{self, Heard, Pipe},
    plan::{Past, Scene},
    stage::{Stage, Stored},
};
use crate::support::{Account, editor::decoded};

/// How long clients and nodes may take to agree once nothing fails any more.
const AGREE: Duration = Duration::from_secs(30);
/// When nobody who is gone is shown any more.
const PRESENCE: Duration = Duration::from_secs(35);

impl Scene {
    pub(super) async fn check(
        &self,
        ada: &Account,
        documents: &[String],
        writers: &[Writer],
        faults_ended: Instant,
        presence_is_exact: bool,
    ) {
        for node in &self.nodes {
            node.lock().await.check(&self.stage);
        }
        let deadline = Instant::now() + AGREE;
        for writer in writers {
            let mut standing = writer.standing.clone();
            let settled = standing.wait_for(|standing| standing.settled);
            if !matches!(timeout(left(deadline), settled).await, Ok(Ok(_))) {
                let name = &writer.name;
                self.stage
                    .complain(format!("{name} never knew that its edits are stored"));
            }
        }
        for document in documents {
            let there = || writers.iter().filter(|it| it.document == *document);
            let writers: Vec<_> = there().collect();
            let (revision, content) = self.agree(ada, document, &writers, deadline).await;
            self.check_names(document, &content, &writers);
            self.check_log(document, revision, &content).await;
        }
        let deadline = (faults_ended + PRESENCE).max(Instant::now() + Duration::from_secs(5));
        for document in documents {
            for node in 0..self.nodes.len() {
                let there = writers.iter().filter(|it| it.document == *document);
                let names = there.filter(|it| it.name.starts_with('s'));
                let names: BTreeSet<_> = names.map(|it| it.name.clone()).collect();
                self.check_presence(node, document, &names, deadline, presence_is_exact)
                    .await;
            }
        }
    }

    /// What all nodes and clients have, once it is the same.
    async fn agree(
        &self,
        ada: &Account,
        document: &str,
        writers: &[&Writer],
        deadline: Instant,
    ) -> (u64, Delta) {
        loop {
            let mut all = Vec::new();
            for number in 0..self.nodes.len() {
                let node = self.nodes[number].lock().await;
                let path = format!("/api/v1/documents/{document}");
                let (status, answer) = node.server().call("GET", &path, Some(&ada.token), None);
                if status == 200 {
                    let revision = answer["revision"].as_u64().unwrap();
                    let content = decoded(&answer["content"]);
                    all.push((format!("node {number}"), Some(revision), content));
                } else {
                    self.stage.complain(format!("node {number}: {answer}"));
                }
            }
            for writer in writers {
                let standing = writer.standing.borrow().clone();
                all.push((writer.name.clone(), standing.revision, standing.content));
            }
            let head = all.iter().filter_map(|(_, revision, _)| *revision).max();
            let head = head.unwrap_or_default();
            let (_, _, content) = &all[0];
            let other = all.iter().find(|(_, revision, its)| {
                revision.is_some_and(|revision| revision != head) || its != content
            });
            let Some((name, revision, its)) = other else {
                return (head, content.clone());
            };
            if Instant::now() > deadline {
                let what = format!(
                    "{name} has {revision:?} of {head} of {document}:\n{}\n{}",
                    its.to_json(),
                    content.to_json()
                );
                self.stage.complain(what);
                return (head, content.clone());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Every edit once.
    fn check_names(&self, document: &str, content: &Delta, writers: &[&Writer]) {
        let mut expected = Vec::new();
        for writer in writers {
            expected.extend(writer.standing.borrow().alive.clone());
        }
        expected.sort_unstable();
        let there = pen::names(content);
        if there != expected {
            let missing: Vec<_> = expected.iter().filter(|it| !there.contains(it)).collect();
            let mut surplus = there.clone();
            for name in &expected {
                if let Some(at) = surplus.iter().position(|it| it == name) {
                    surplus.swap_remove(at);
                }
            }
            let what = format!("{document}: missing {missing:?}, too many {surplus:?}");
            self.stage.complain(what);
        }
    }

    /// **dense**, **once**, and the same again from nothing.
    async fn check_log(&self, document: &str, revision: u64, content: &Delta) {
        let settings = PostgresSettings::default();
        let log = PostgresLog::open(&self.schema.url(), settings).await;
        let log = log.unwrap();
        let id = document.parse().unwrap();
        let mut replayed = Document::open(id, None, Settings::default()).unwrap();
        let mut seen = BTreeSet::new();
        loop {
            let changes = log.read(id, replayed.head(), 1 << 20).await.unwrap();
            if changes.is_empty() {
                break;
            }
            for change in &changes {
                let submission = (change.author, change.client_id.clone(), change.seq);
                if change.seq > 0 && !seen.insert(submission) {
                    let (client, seq) = (&change.client_id, change.seq);
                    let what = format!("{document}: {seq} of {client} is in the log twice");
                    self.stage.complain(what);
                }
            }
            replayed.replay(changes).unwrap();
        }
        if replayed.head() != Revision::new(revision)
            || replayed.snapshot().content.to_delta() != *content
        {
            let what = format!("{document}: the log gives something else than it shows");
            self.stage.complain(what);
        }
        let listed = log.head(id).await.unwrap();
        if listed != replayed.head() {
            let what = format!("{document}: {listed:?} with {:?} changes", replayed.head());
            self.stage.complain(what);
        }
    }

    /// One node shows those who are there, each once, and nobody else in time.
    async fn check_presence(
        &self,
        node: usize,
        document: &str,
        names: &BTreeSet<String>,
        deadline: Instant,
        is_exact: bool,
    ) {
        let path = format!("/collab/{document}?token={}", self.stage.token);
        let Some(socket) = pipe::open(&self.stage, "an observer", node, &path).await else {
            let what = format!("node {node} lets nobody in");
            return self.stage.complain(what);
        };
        let mut pipe = Pipe::Socket(Box::new(socket), [].into());
        let mut shown: HashMap<String, String> = HashMap::new();
        loop {
            let mut there: Vec<_> = shown.values().collect();
            there.sort_unstable();
            let all_there = names.iter().all(|name| there.contains(&name));
            if all_there && (!is_exact || there.len() == names.len()) {
                return;
            }
            let heard = match timeout(left(deadline), pipe.heard()).await {
                Ok(Heard::Message(message)) => message,
                ended => {
                    let what =
                        format!("node {node} shows {there:?} in place of {names:?}, {ended:?}");
                    return self.stage.complain(what);
                }
            };
            let lists = [&heard["presence"], &heard["joined"], &heard["updated"]];
            if heard["reset"] == true {
                shown.clear();
            }
            for one in lists.into_iter().filter_map(Value::as_array).flatten() {
                let session = one["sessionId"].as_str().unwrap().to_owned();
                if let Some(who) = one["data"]["who"].as_str() {
                    shown.insert(session, who.to_owned());
                }
            }
            for session in heard["left"].as_array().into_iter().flatten() {
                shown.remove(session.as_str().unwrap());
            }
        }
    }

    /// Ends the nodes; returns how many races they lost.
    pub(super) async fn end(&self) -> usize {
        let mut races = 0;
        for node in &self.nodes {
            let mut node = node.lock().await;
            node.roll(&self.stage).await;
            let log = node.log();
            races += log.matches("another node was first").count();
            for line in log.lines() {
                let closed = line.contains("the document was closed");
                let unavailable = ["not available", "not known", "did not answer"];
                let away = unavailable.iter().any(|why| line.contains(why));
                if line.contains("panicked") || (closed && !away) {
                    self.stage.complain(format!("node {}: {line}", node.number));
                } else if closed {
                    eprintln!("node {}: {line}", node.number);
                }
            }
        }
        races
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Prints how long edits took to be stored: in all, and of those that met a fault of each kind.
pub(super) fn report(stage: &Stage, faults: &[Past], writers: &[Writer], races: usize) {
    let all = stage.all_stored();
    let took = |it: &Stored| it.stored.duration_since(it.made);
    let mut times: Vec<_> = all.iter().map(took).collect();
    times.sort_unstable();
    let edits: u64 = writers.iter().map(|it| it.standing.borrow().edits).sum();
    let part = |of: usize| {
        let at = (times.len() * of / 1_000).min(times.len().saturating_sub(1));
        times.get(at).copied().unwrap_or_default().as_millis()
    };
    eprintln!(
        "{edits} edits in {} submissions, {} faults, {races} races lost; stored after {} ms (median), \
         {} ms (99 %), {} ms (longest)",
        times.len(),
        faults.len(),
        part(500),
        part(990),
        part(1_000),
    );
    let mut kinds: BTreeMap<&str, (usize, Duration, Duration)> = BTreeMap::new();
    for fault in faults {
        let met = all.iter();
        let met = met.filter(|it| it.made < fault.ended && it.stored > fault.began);
        let longest = met.map(took).max().unwrap_or_default();
        let lasted = fault.ended.duration_since(fault.began);
        let kind = kinds.entry(&fault.kind).or_default();
        kind.0 += 1;
        kind.1 = kind.1.max(lasted);
        kind.2 = kind.2.max(longest);
    }
    for (kind, (count, lasted, pause)) in kinds {
        let (lasted, pause) = (lasted.as_millis(), pause.as_millis());
        eprintln!("{kind:28} {count:3} times, up to {lasted:6} ms; longest pause {pause:6} ms");
    }
}

//! Editors that type on a schedule, and the clock that follows each edit to every other editor.

use std::time::Duration;

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::Run;

/// How long after the last edit was due everything must have arrived.
const DRAIN: Duration = Duration::from_secs(10);

/// What a run does.
pub(crate) struct Plan {
    /// Where to join, on each node: editors are dealt out to them in turn.
    pub(crate) urls: Vec<String>,
    pub(crate) editors: usize,
    /// Edits a second of each editor.
    pub(crate) rate: f64,
    /// Not counted.
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
}

/// What one editor saw.
#[derive(Default)]
struct Seen {
    /// Of each own edit, by seq − 1: when it was due.
    due: Vec<Instant>,
    /// Own edits: seq and revision.
    acks: Vec<(u64, u64)>,
    /// Others' edits: revision and time of arrival.
    arrivals: Vec<(u64, Instant)>,
}

/// Runs one load and follows every edit that was due after the warm-up.
pub(crate) async fn run(plan: Plan) -> anyhow::Result<Run> {
    let mut sockets = Vec::with_capacity(plan.editors);
    for url in plan.urls.iter().cycle().take(plan.editors) {
        let (socket, _) = connect_async(url).await.context("cannot connect")?;
        sockets.push(socket);
    }
    let interval = Duration::from_secs_f64(1.0 / plan.rate);
    let start = Instant::now() + Duration::from_millis(200);
    let end = start + plan.warm_up + plan.length;
    // Editors do not type in step.
    let phase = |index: usize| interval.mul_f64(index as f64 / plan.editors as f64);
    let length = plan.warm_up + plan.length;
    let total = (0..plan.editors)
        .map(|index| edits(length - phase(index), interval))
        .sum();
    let mut editors = JoinSet::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        editors.spawn(editor(
            socket,
            start + phase(index),
            interval,
            end,
            total,
            index,
        ));
    }
    let mut seen = Vec::with_capacity(plan.editors);
    while let Some(editor) = editors.join_next().await {
        seen.push(editor??);
    }
    Ok(evaluate(&seen, start + plan.warm_up, plan.editors))
}

/// How many edits fall due before `length` is over.
fn edits(length: Duration, interval: Duration) -> usize {
    usize::try_from(length.as_nanos().div_ceil(interval.as_nanos())).unwrap_or(usize::MAX)
}

async fn editor<S>(
    socket: tokio_tungstenite::WebSocketStream<S>,
    start: Instant,
    interval: Duration,
    end: Instant,
    total: usize,
    index: usize,
) -> anyhow::Result<Seen>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut sink, mut stream) = socket.split();
    let mut seen = Seen::default();
    // The document grows by one character with each revision, so a revision is also its length.
    let mut revision = 0;
    let mut next = start;
    let mut random = index as u64 * 7_919 + 1;
    let drained = end + DRAIN;
    while seen.acks.len() + seen.arrivals.len() < total {
        tokio::select! {
            () = sleep_until(next), if next < end => {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let position = (random >> 33) % (revision + 1);
                seen.due.push(next);
                let edit = edit(seen.due.len(), revision, position);
                next += interval;
                sink.send(Message::text(edit)).await?;
            }
            frame = timeout(drained.saturating_duration_since(Instant::now()), stream.next()) => {
                let Ok(frame) = frame else { break };
                let now = Instant::now();
                match frame.context("the server closed the connection")?? {
                    Message::Text(text) => {
                        for message in messages(&text) {
                            revision = read(message, now, &mut seen)?.unwrap_or(revision);
                        }
                    }
                    Message::Close(frame) => anyhow::bail!("closed: {frame:?}"),
                    _ => {}
                }
            }
        }
    }
    Ok(seen)
}

fn edit(seq: usize, revision: u64, position: u64) -> String {
    let retain = if position == 0 {
        String::new()
    } else {
        format!(r#"{{"retain":{position}}},"#)
    };
    format!(
        r#"{{"type":"edit_operation","seq":{seq},"revision":{revision},"operation":{{"ops":[{retain}{{"insert":"x"}}]}}}}"#
    )
}

/// The messages of a frame, cut at their types: cheaper than parsing, so that the generator does
/// not become the bottleneck.
fn messages(frame: &str) -> impl Iterator<Item = &str> {
    frame.split(r#""type":""#).skip(1)
}

/// Notes an acknowledgement or an arrival, and returns its revision.
fn read(message: &str, now: Instant, seen: &mut Seen) -> anyhow::Result<Option<u64>> {
    let number = |field: &str| {
        let (_, rest) = message.split_once(field)?;
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..end].parse::<u64>().ok()
    };
    if message.starts_with("error") {
        anyhow::bail!("the server refused: {message}");
    }
    if !message.starts_with("ack") && !message.starts_with("operation") {
        return Ok(None);
    }
    let revision = number(r#""revision":"#).context("no revision")?;
    if message.starts_with("ack") {
        seen.acks
            .push((number(r#""seq":"#).context("no seq")?, revision));
    } else {
        seen.arrivals.push((revision, now));
    }
    Ok(Some(revision))
}

fn evaluate(seen: &[Seen], counted_from: Instant, editors: usize) -> Run {
    // The due time of each revision whose edit counts.
    let acknowledged = seen.iter().flat_map(|editor| {
        let due = |seq: u64| {
            editor
                .due
                .get(usize::try_from(seq).ok()?.checked_sub(1)?)
                .copied()
        };
        editor
            .acks
            .iter()
            .filter_map(move |&(seq, revision)| Some((revision, due(seq)?)))
    });
    let due: std::collections::HashMap<u64, Instant> = acknowledged
        .filter(|(_, due)| *due >= counted_from)
        .collect();
    let sent = seen
        .iter()
        .flat_map(|it| &it.due)
        .filter(|due| **due >= counted_from)
        .count();
    let mut latency_us = Histogram::new(3).expect("three digits are allowed");
    let mut delivered = 0;
    for &(revision, at) in seen.iter().flat_map(|editor| &editor.arrivals) {
        if let Some(due) = due.get(&revision) {
            delivered += 1;
            let us = u64::try_from(at.saturating_duration_since(*due).as_micros());
            latency_us
                .record(us.unwrap_or(u64::MAX))
                .expect("the histogram grows");
        }
    }
    Run {
        latency_us,
        sent,
        all_sent: seen.iter().map(|it| it.due.len()).sum(),
        delivered,
        expected: sent * (editors - 1),
    }
}

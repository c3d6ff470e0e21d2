//! Many join a large document at once.

use std::time::Duration;

use super::{Fact, Stage, fact, mib, paste::paste_and_wait, times};
use crate::{clock::SECOND, load::histogram};

const JOIN: Duration = Duration::from_secs(120);
/// A document grows to its size by pastes of so many characters: servers bound messages.
const PASTE_CHARACTERS: usize = 1 << 20;

pub(super) fn run(stage: &Stage<'_>) -> anyhow::Result<Vec<Fact>> {
    let (clients, characters) = (stage.size.clients, stage.size.characters);
    // The one who writes it, and one who sees that it is there.
    let (servers, mut fleet) = stage.open(clients + 2)?;
    fleet.join(0..2, 2);
    fleet.join_all(JOIN, &mut |_| {})?;
    let mut pasted = histogram();
    for nth in 0..characters.div_ceil(PASTE_CHARACTERS) as u64 {
        let rest = characters.min(PASTE_CHARACTERS);
        pasted.saturating_record(paste_and_wait(&mut fleet, nth, rest, 1)?);
    }
    // With what is around the text in JSON, and the presence.
    fleet.make_room(2..clients + 2, characters + characters / 8);
    fleet.joining_us.reset();
    let (start, received) = (fleet.clock.ns(), fleet.received_bytes);
    fleet.join(2..clients + 2, clients);
    fleet.join_all(JOIN, &mut |_| {})?;
    let seconds = (fleet.clock.ns() - start) as f64 / SECOND as f64;
    let bytes = fleet.received_bytes - received;
    anyhow::ensure!(
        bytes >= (clients * characters) as u64,
        "who joined was not sent the document"
    );
    let mut facts: Vec<Fact> = times(
        ["join, p50", "join, p95", "join, p99", "all joined"],
        &fleet.joining_us,
    )
    .collect();
    facts.push(fact("sent", "MiB/s", mib(bytes) / seconds));
    facts.push(fact(
        "server with all",
        "MiB",
        mib(servers.usage().memory_bytes),
    ));
    drop(fleet);
    servers.stop()?;
    Ok(facts)
}

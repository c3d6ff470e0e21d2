//! `motet events`.

use std::io::Write;

use anyhow::Context;
use clap::{Args, Subcommand};
use motet_bus::{AnyEvents, BusError, Consumer, Delivered, EventKind, Events};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use crate::{
    clock::rfc3339,
    config::{Config, Flags, Told},
};

/// Between attempts to reach the bus.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// Print events as lines of JSON, each once it happens, and go on later where it stopped
    Follow(FollowArgs),
}

#[derive(Args, Debug)]
pub(super) struct FollowArgs {
    /// Who reads: those of one name share the events, and each name gets all of them
    #[arg(long, value_name = "NAME")]
    group: String,
    /// Only events of this kind; may be given several times [default: all]
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<Told>,
    #[command(flatten)]
    flags: Flags,
}

/// An event as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    id: &'a str,
    kind: &'a str,
    at: String,
    redelivered: bool,
    event: &'a RawValue,
}

pub(super) async fn events(command: EventsCommand) -> anyhow::Result<()> {
    let EventsCommand::Follow(args) = command;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        followed = follow(&args) => followed,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

async fn follow(args: &FollowArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.flags)?;
    let url = config.bus.as_ref().context("there is no bus: say which")?;
    let kinds: Vec<_> = match args.kinds.as_slice() {
        [] => EventKind::ALL.to_vec(),
        kinds => kinds.iter().map(|Told(kind)| *kind).collect(),
    };
    let events = AnyEvents::connect(url.expose(), config.events_settings()).await?;
    let mut consumer = loop {
        match events.consume(&kinds, &args.group).await {
            // It connects in the background.
            Err(BusError::Unavailable { .. }) => sleep(PAUSE).await,
            consumer => break consumer?,
        }
    };
    loop {
        let delivered = consumer.next().await?;
        print(&delivered)?;
        // Only what somebody can have read.
        if let Err(error) = consumer.ack(&delivered).await {
            tracing::debug!(%error, "it comes again");
        }
    }
}

fn print(delivered: &Delivered) -> anyhow::Result<()> {
    let event = &delivered.event;
    let line = serde_json::to_string(&Line {
        id: &event.id,
        kind: event.kind.as_str(),
        at: rfc3339(event.at_ms),
        redelivered: delivered.redelivered,
        event: serde_json::from_slice(&event.payload).context("an event is not JSON")?,
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

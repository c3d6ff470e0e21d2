//! `motet serve`: from settings to a running server, and its orderly end.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use anyhow::Context;
use axum::serve::ListenerExt;
use motet_bus::{AnyBus, AnyEvents, Bus, BusSettings, EventKind, LocalBus};
use motet_document::Settings;
use motet_model::{Clock, NodeId};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::timeout,
};
use tracing_subscriber::EnvFilter;

use crate::{
    audit::Auditor,
    auth::{Authority, Issuers, Outgoing, Passwords, Providers, Tokens},
    clock::{DAY_MS, SystemClock},
    collab::{Collab, CollabSettings, Rates},
    compaction,
    config::{Config, NodeRole},
    entropy,
    erasure::Eraser,
    events::{self, Relay},
    export::Exports,
    housekeeping,
    http::{self, App, Edge, Needs, RequestLimits},
    jobs::Jobs,
    limits,
    nodes::{self, Nodes},
    refusals::Refusals,
    stores, watch,
};

/// How long HTTP requests that are under way may take to end.
const HTTP_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last rows of the audit trail may take to be stored.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn serve(config: Config) -> anyhow::Result<()> {
    start_logging(&config)?;
    let clock = Arc::new(SystemClock);
    let node = NodeId::new(clock.now_ms(), entropy::bytes());
    match &config.database {
        Some(database) => tracing::info!(%node, ?database, "starting"),
        None => tracing::info!(%node, data_dir = %config.data_dir.display(), "starting"),
    }
    let catalog = stores::open_catalog(&config).await?;
    // Before anything is read of which the trail tells when it changes.
    let seen = catalog.audit_seq().await;
    let seen = seen.context("cannot read the audit trail")?;
    let log = Arc::new(stores::open_log(&config).await?);
    let told = EventKind::ALL.into_iter().filter(|it| config.tells(*it));
    let told: Vec<_> = told.collect();
    let prepared = events::prepare(&catalog, &told).await;
    prepared.context("cannot see how far events were told")?;
    let tokens = Tokens::open(&catalog, &config.keys()).await;
    let tokens = Arc::new(tokens.context("cannot read the signing keys")?);
    let (issuers, providers) = outsiders(&config)?;
    let settings = CollabSettings {
        message_bytes_max: config.message_bytes_max,
        update_bytes_max: config.update_bytes_max,
        rates: Rates {
            submissions_per_second_max: config.submissions_per_second_max,
            bytes_per_second_max: config.bytes_per_second_max,
        },
        sessions_per_user_max: config.sessions_per_user_max,
        document: Settings {
            sessions_max: config.sessions_per_document_max,
            shared: config.database.is_some(),
            ..Settings::default()
        },
    };
    let authority = Authority::new(
        catalog.clone(),
        Arc::clone(&tokens),
        Arc::new(issuers),
        clock.clone(),
    );
    let auditor = Auditor::start(catalog.clone());
    let nodes = Nodes::new(
        node,
        catalog.clone(),
        Arc::clone(&tokens),
        clock.clone(),
        config.database.is_some(),
    );
    let nodes = Arc::new(nodes.context("cannot make requests")?);
    let bus = connect(&config, node).await?;
    let bus_state = config.bus.is_some().then(|| bus.state());
    let collab = Collab::new(
        bus,
        Arc::clone(&log),
        catalog.clone(),
        authority.clone(),
        auditor.clone(),
        clock.clone(),
        settings,
    );
    let jobs = Jobs::new(catalog.clone(), clock.clone(), node);
    let eraser = Eraser::with_sessions(
        catalog.clone(),
        Arc::clone(&collab),
        auditor.clone(),
        clock.clone(),
        jobs.clone(),
    );
    let refusals = Refusals::new(auditor.clone(), clock.clone());
    let app = Arc::new(App {
        catalog: catalog.clone(),
        auditor: auditor.clone(),
        refusals: Arc::clone(&refusals),
        eraser: Arc::clone(&eraser),
        exports: Exports::default(),
        collab: Arc::clone(&collab),
        clock,
        jobs: jobs.clone(),
        nodes: Arc::clone(&nodes),
        authority,
        tokens,
        passwords: Passwords::new(),
        providers,
        public_url: config.public_url.clone(),
        registration: config.registration,
        access_token_ms: config.access_token_seconds * 1_000,
        refresh_token_ms: config.refresh_token_seconds * 1_000,
        limits: RequestLimits::new(&config),
        listed_limits: limits::limits(&config),
        documents_per_user_max: config.documents_per_user_max,
        turns: http::Turns::new(jobs.clone()),
        guests_per_link_max: config.guests_per_link_max,
        trash_ms: Some(config.trash_days * DAY_MS).filter(|trash_ms| *trash_ms > 0),
        guest_ms: Some(config.guest_days * DAY_MS).filter(|guest_ms| *guest_ms > 0),
        draining: AtomicBool::new(false),
        needs: Needs::new(catalog.clone(), bus_state),
    });
    tokio::spawn(RequestLimits::sweep(Arc::downgrade(&app.limits)));

    if config.does(NodeRole::Worker) {
        tokio::spawn(eraser.watch());
        tokio::spawn(Arc::clone(&collab).index_missed(jobs.clone()));
        tokio::spawn(housekeeping::run(Arc::downgrade(&app)));
        tokio::spawn(compaction::run(Arc::downgrade(&app)));
    }
    let relay = match &config.bus {
        Some(url) if config.does(NodeRole::Worker) => {
            let events = AnyEvents::connect(url.expose(), config.events_settings()).await;
            let events = events.context("cannot use the streams of events")?;
            Some(Relay::start(events, told, log, catalog.clone(), jobs))
        }
        _ => None,
    };

    let edge = Edge::new(&config);
    tokio::spawn(watch::run(Arc::downgrade(&app), seen));

    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen at {}", config.listen))?;
    let address = listener.local_addr()?;
    if let Some(url) = url_of(&config, address)? {
        nodes.announce(url);
    }
    // Whoever is told that there is a server may end it.
    let stop = stop_signal()?;
    announce(address);
    // An acknowledgement must not wait for the one before it to be confirmed (Nagle's algorithm).
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a socket does not take TCP_NODELAY");
        }
    });
    let (drained, drain) = oneshot::channel::<()>();
    let service = axum::serve(listener, http::router(Arc::clone(&app), &edge, &config))
        .with_graceful_shutdown(async move {
            // Dropped or sent, it is time to stop accepting.
            let _time = drain.await;
        });
    let server = tokio::spawn(service.into_future());

    stop.await;
    tracing::info!("draining: what has arrived is committed, and clients are told to come back");
    app.draining.store(true, Ordering::Release);
    collab.shutdown().await;
    drop(drained);
    // Requests that take longer are cut off; whatever was acknowledged is stored.
    let _late = timeout(HTTP_DRAIN_TIMEOUT, server).await;
    nodes.leave().await;
    refusals.flush().await;
    auditor.flush(AUDIT_TIMEOUT).await;
    if let Some(relay) = relay {
        relay.stop().await;
    }
    catalog.close().await;
    let (appends, races_lost) = collab.appends();
    tracing::info!(appends, races_lost, "stopped");
    Ok(())
}

/// The way to other nodes. Without a bus they see each other's changes when they look at the log.
async fn connect(config: &Config, node: NodeId) -> anyhow::Result<AnyBus> {
    let Some(url) = &config.bus else {
        if config.database.is_some() {
            tracing::warn!(
                "there is no bus: what other nodes of the database do is looked for in the log, and who is \
                 with them is not seen"
            );
        }
        return Ok(LocalBus::alone(node).into());
    };
    let mut settings = BusSettings::default();
    settings.prefix.clone_from(&config.bus_prefix);
    let bus = AnyBus::connect(url.expose(), node, settings).await;
    bus.context("cannot use the bus")
}

/// Where other nodes reach this one, if there can be any.
fn url_of(config: &Config, listen: SocketAddr) -> anyhow::Result<Option<String>> {
    let Some(database) = &config.database else {
        return Ok(None);
    };
    if let Some(url) = &config.advertise {
        return Ok(Some(url.trim_end_matches('/').to_owned()));
    }
    let address = nodes::reachable(listen, database)?;
    Ok(Some(format!("http://{address}")))
}

/// Those who vouch for people. What they say has to be fetched only if there are any.
fn outsiders(config: &Config) -> anyhow::Result<(Issuers, Providers)> {
    if config.issuers.is_empty() && config.providers.is_empty() {
        return Ok((Issuers::default(), Providers::default()));
    }
    let outgoing = Outgoing::new().context("cannot make requests")?;
    let issuers = Issuers::new(&config.issuers, &outgoing).map_err(anyhow::Error::msg)?;
    let providers = Providers::new(&config.providers, &outgoing).map_err(anyhow::Error::msg)?;
    Ok((issuers, providers))
}

fn start_logging(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).context("log is not a filter")?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if config.log_json {
        lines.json().try_init()
    } else {
        lines.try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

#[expect(
    clippy::print_stdout,
    reason = "the address is for people and scripts, not for the log"
)]
fn announce(address: std::net::SocketAddr) {
    println!("motet listening on http://{address}");
}

/// Ready at SIGTERM or SIGINT, also at one that comes before this is polled.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

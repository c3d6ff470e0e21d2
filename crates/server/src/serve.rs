//! `motet serve`: from settings to a running server, and its orderly end.

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use anyhow::Context;
use axum::serve::ListenerExt;
use motet_catalog::Catalog;
use motet_document::Settings;
use motet_log::SqliteLog;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::timeout,
};
use tracing_subscriber::EnvFilter;

use crate::{
    auth::{Passwords, Tokens},
    clock::SystemClock,
    collab::{Collab, CollabSettings},
    config::Config,
    http::{self, App},
};

/// How long HTTP requests that are under way may take to end.
const HTTP_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn serve(config: Config) -> anyhow::Result<()> {
    start_logging(&config)?;
    let data_dir = config
        .make_data_dir()
        .context("cannot make the data directory")?;
    tracing::info!(data_dir = %data_dir.display(), "starting");
    let log = Arc::new(SqliteLog::open(&config.document_log())?);
    let catalog = Catalog::open_sqlite(&config.catalog())
        .await
        .context("cannot open the catalog")?;
    let tokens = Arc::new(Tokens::open(&config.keys()).context("cannot open the signing key")?);
    let clock = Arc::new(SystemClock);
    let settings = CollabSettings {
        message_bytes_max: config.message_bytes_max,
        update_bytes_max: config.update_bytes_max,
        document: Settings {
            sessions_max: config.sessions_per_document_max,
            ..Settings::default()
        },
    };
    let collab = Collab::new(
        log,
        catalog.clone(),
        Arc::clone(&tokens),
        clock.clone(),
        settings,
    );
    let app = Arc::new(App {
        catalog: catalog.clone(),
        collab: Arc::clone(&collab),
        clock,
        tokens,
        passwords: Passwords::new(),
        registration: config.registration,
        access_token_ms: config.access_token_seconds * 1_000,
        refresh_token_ms: config.refresh_token_seconds * 1_000,
        draining: AtomicBool::new(false),
    });

    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen at {}", config.listen))?;
    announce(listener.local_addr()?);
    // An acknowledgement must not wait for the one before it to be confirmed (Nagle's algorithm).
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a socket does not take TCP_NODELAY");
        }
    });
    let (drained, drain) = oneshot::channel::<()>();
    let service =
        axum::serve(listener, http::router(Arc::clone(&app))).with_graceful_shutdown(async move {
            // Dropped or sent, it is time to stop accepting.
            let _time = drain.await;
        });
    let server = tokio::spawn(service.into_future());

    stop_signal().await?;
    tracing::info!("draining: what has arrived is committed, and clients are told to come back");
    app.draining.store(true, Ordering::Release);
    collab.shutdown().await;
    drop(drained);
    // Requests that take longer are cut off; whatever was acknowledged is stored.
    let _late = timeout(HTTP_DRAIN_TIMEOUT, server).await;
    catalog.close().await;
    tracing::info!("stopped");
    Ok(())
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

async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

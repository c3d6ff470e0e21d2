//! For whoever watches over the process: whether it lives, and whether to send it clients.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{Json, extract::State, http::StatusCode};
use motet_bus::BusState;
use motet_catalog::Catalog;
use serde::Serialize;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, timeout},
};
use utoipa::ToSchema;

use super::App;

/// How long the database may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long its answer counts, however many ask.
const FRESH: Duration = Duration::from_secs(1);

/// What this server needs of others, as it is now.
pub(crate) struct Needs {
    catalog: Catalog,
    /// None of a server that has no bus.
    bus: Option<watch::Receiver<BusState>>,
    /// When the database was asked last, and whether it answered. Who asks next waits for who asks now.
    asked: Mutex<Option<(Instant, bool)>>,
}

impl Needs {
    pub(crate) fn new(catalog: Catalog, bus: Option<watch::Receiver<BusState>>) -> Self {
        Self {
            catalog,
            bus,
            asked: Mutex::default(),
        }
    }

    async fn database(&self) -> Part {
        let asking = async {
            let mut asked = self.asked.lock().await;
            if let Some((at, answered)) = *asked
                && at.elapsed() < FRESH
            {
                return Part::of(answered);
            }
            let answered = self.catalog.answers(ANSWER_TIMEOUT).await;
            *asked = Some((Instant::now(), answered));
            Part::of(answered)
        };
        // Those who asked before may have asked in vain, and gone.
        let asked = timeout(ANSWER_TIMEOUT + FRESH, asking).await;
        asked.unwrap_or(Part::Away)
    }

    fn bus(&self) -> Option<Part> {
        let bus = self.bus.as_ref()?;
        Some(Part::of(*bus.borrow() == BusState::Connected))
    }
}

/// Whether something that is needed is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Part {
    There,
    Away,
}

impl Part {
    const fn of(is_there: bool) -> Self {
        if is_there { Self::There } else { Self::Away }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ready,
    /// It serves, and more slowly than it should.
    Degraded,
    /// It cannot serve for now.
    Unavailable,
    /// It is about to end.
    Draining,
}

/// Whether a server takes clients.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    status: Status,
    /// Where people and documents are. Not asked by one that drains.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<Part>,
    /// The way to other nodes, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<Part>,
}

/// 200 while the process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "alive",
    tag = "probes",
    security(()),
    responses((status = 200, description = "It lives", body = String, content_type = "text/plain"))
)]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// 200 while the server takes clients.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "ready",
    tag = "probes",
    security(()),
    responses(
        (status = 200, description = "It does", body = Readiness),
        (status = 503, description = "It drains, or has no database for now", body = Readiness),
    )
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Readiness>) {
    let is_draining = app.draining.load(Ordering::Acquire);
    let database = if is_draining {
        None
    } else {
        Some(app.needs.database().await)
    };
    let bus = app.needs.bus();
    let status = match (database, bus) {
        (None, _) => Status::Draining,
        (Some(Part::Away), _) => Status::Unavailable,
        // What others do is found in the log, a moment later.
        (Some(Part::There), Some(Part::Away)) => Status::Degraded,
        (Some(Part::There), _) => Status::Ready,
    };
    let code = match status {
        Status::Ready | Status::Degraded => StatusCode::OK,
        Status::Unavailable | Status::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    let readiness = Readiness {
        status,
        database,
        bus,
    };
    (code, Json(readiness))
}

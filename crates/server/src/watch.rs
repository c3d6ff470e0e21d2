//! What the operator does on the command line while the server runs: the audit trail tells of it, and live
//! sessions learn of it within a second or so.

use std::{sync::Weak, time::Duration};

use motet_catalog::{AuditAction, CatalogError};
use tokio::time::{MissedTickBehavior, interval};

use crate::{collab::Affected, http::App};

/// How often to look.
const INTERVAL: Duration = Duration::from_millis(500);

/// Watches until the server is gone.
pub(crate) async fn run(app: Weak<App>) {
    let mut times = interval(INTERVAL);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    loop {
        times.tick().await;
        let Some(app) = app.upgrade() else { return };
        match look(&app, seen).await {
            Ok(seq) => seen = Some(seq),
            Err(error) => tracing::warn!(%error, "the audit trail cannot be watched"),
        }
    }
}

/// Tells of what came after `seen`, and returns how far the trail goes.
async fn look(app: &App, seen: Option<u64>) -> Result<u64, CatalogError> {
    let Some(seen) = seen else {
        // Nobody was here when it happened.
        return app.catalog.audit_seq().await;
    };
    let (acts, seq) = app.catalog.operator_acts(seen).await?;
    for (action, user) in acts {
        if action == AuditAction::KeyRemoved.as_str() {
            app.tokens.forget_removed(app.clock.now_ms());
            app.collab.rights_changed(Affected::Everyone).await;
        } else if let Some(user) = user {
            app.collab.rights_changed(Affected::User(user)).await;
        }
    }
    Ok(seq)
}

//! What is done elsewhere while the server runs, by other nodes and on the command line: the audit trail
//! tells of it, whatever else is lost, and live sessions learn of it within a second or so.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use motet_catalog::{AuditAction, CatalogError, PastAct};
use tokio::time::{MissedTickBehavior, interval};

use crate::{collab::Affected, http::App};

/// How often to look.
const INTERVAL: Duration = Duration::from_millis(500);

/// The acts that may take rights from somebody, give some, or end a session. This node's own are among
/// them: to ask about rights once more changes nothing.
const ACTS: [AuditAction; 24] = [
    AuditAction::SignedOut,
    AuditAction::RefreshReused,
    AuditAction::PasswordChanged,
    AuditAction::AccountDisabled,
    AuditAction::AccountEnabled,
    AuditAction::AdministratorMade,
    AuditAction::AdministratorUnmade,
    AuditAction::ErasureBegun,
    AuditAction::AccountErased,
    AuditAction::ApiKeyRevoked,
    AuditAction::GroupJoined,
    AuditAction::GroupLeft,
    AuditAction::GroupDeleted,
    AuditAction::DocumentShared,
    AuditAction::DocumentUnshared,
    AuditAction::DocumentOpenness,
    AuditAction::DocumentTransferred,
    AuditAction::DocumentTrashed,
    AuditAction::DocumentRestored,
    AuditAction::DocumentDeleted,
    AuditAction::LinkRevoked,
    AuditAction::LinkOpened,
    AuditAction::KeyRotated,
    AuditAction::KeyRemoved,
];

/// Watches what comes after `seen` until the server is gone.
pub(crate) async fn run(app: Weak<App>, mut seen: u64) {
    let mut times = interval(INTERVAL);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_blind = false;
    loop {
        times.tick().await;
        let Some(app) = app.upgrade() else { return };
        match look(&app, seen).await {
            Ok(seq) => {
                seen = seq;
                is_blind = false;
            }
            // Said once: a database that is away is missed by everything else as well.
            Err(error) if !is_blind => {
                is_blind = true;
                tracing::warn!(%error, "the audit trail cannot be watched");
            }
            Err(_) => {}
        }
    }
}

/// Tells of what came after `seen`, and returns how far the trail goes.
async fn look(app: &App, seen: u64) -> Result<u64, CatalogError> {
    let (acts, seq) = app.catalog.acts_after(seen, &ACTS).await?;
    for act in acts {
        learn(app, &act).await?;
    }
    Ok(seq)
}

async fn learn(app: &App, act: &PastAct) -> Result<(), CatalogError> {
    match act.action {
        AuditAction::KeyRotated => app.tokens.read_again().await?,
        AuditAction::KeyRemoved => {
            app.tokens.read_again().await?;
            app.collab.rights_changed(Affected::Everyone).await;
        }
        AuditAction::GroupDeleted => {
            let affected = Affected::Organization(act.organization);
            app.collab.rights_changed(affected).await;
        }
        AuditAction::DocumentTrashed | AuditAction::DocumentDeleted => {
            if let Some(id) = act.document
                && !app.catalog.is_there(id).await?
            {
                // Its room may take its time to end, and what else was done does not wait for that.
                let collab = Arc::clone(&app.collab);
                tokio::spawn(async move { collab.evict(id).await });
            }
        }
        AuditAction::DocumentShared
        | AuditAction::DocumentUnshared
        | AuditAction::DocumentOpenness
        | AuditAction::DocumentTransferred
        | AuditAction::DocumentRestored
        | AuditAction::LinkRevoked => {
            if let Some(id) = act.document {
                app.collab.rights_changed(Affected::Document(id)).await;
            }
        }
        _ => {
            if let Some(user) = act.user.or(act.actor) {
                app.collab.rights_changed(Affected::User(user)).await;
            }
        }
    }
    Ok(())
}

//! What is done from time to time though nobody asks: forgetting what is of no use any more.

use std::{sync::Weak, time::Duration};

use motet_catalog::{Actor, CatalogError};
use motet_model::OrganizationId;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    auth::lockout,
    clock::DAY_MS,
    collab::CollabError,
    entropy,
    http::{App, idempotency},
    jobs::Job,
};

/// How often.
const INTERVAL: Duration = Duration::from_secs(600);

/// How long it is known from where strangers tried to sign in: nobody could ask for it to be erased.
const STRANGERS_MS: u64 = 30 * DAY_MS;

/// Documents that are deleted, and guests that are let go, in one go.
const AT_ONCE: u32 = 100;

/// Keeps house until the server is gone.
pub(crate) async fn run(app: Weak<App>) {
    let mut times = interval(INTERVAL);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        let Some(app) = app.upgrade() else { return };
        if let Err(error) = round(&app).await {
            // The next round does what this one did not.
            tracing::warn!(%error, "housekeeping was not done");
        }
    }
}

async fn round(app: &App) -> Result<(), CollabError> {
    if !app.jobs.once_in(Job::Housekeeping, INTERVAL / 2).await? {
        return Ok(());
    }
    lockout::sweep(&app.catalog, app.clock.now_ms()).await?;
    let kept_ms = app.clock.now_ms().saturating_sub(idempotency::KEPT_MS);
    app.catalog.forget_answers(kept_ms).await?;
    app.catalog.forget_nodes(DAY_MS).await?;
    app.catalog.forget_claims().await?;
    let strangers_ms = app.clock.now_ms().saturating_sub(STRANGERS_MS);
    app.catalog
        .forget_strangers_addresses_before(strangers_ms)
        .await?;
    empty_trash(app).await?;
    Ok(let_guests_go(app).await?)
}

/// Erases guests who have had nothing left to do for long enough.
async fn let_guests_go(app: &App) -> Result<(), CatalogError> {
    let Some(guest_ms) = app.guest_ms else {
        return Ok(());
    };
    let now_ms = app.clock.now_ms();
    app.catalog.note_idle_guests(now_ms).await?;
    loop {
        let before_ms = now_ms.saturating_sub(guest_ms);
        let due = app.catalog.idle_guests(before_ms, AT_ONCE).await?;
        let mut gone = false;
        for (guest, organization) in due {
            let actor = nobody(app, organization);
            gone |= app.catalog.begin_guest_erasure(&actor, guest).await?;
        }
        if !gone {
            return Ok(());
        }
    }
}

/// The server itself.
fn nobody(app: &App, organization: OrganizationId) -> Actor {
    Actor {
        user: None,
        organization,
        address: String::new(),
        nonce: entropy::bytes(),
        at_ms: app.clock.now_ms(),
    }
}

/// Deletes what has been in the trash for long enough, and what was to be deleted for good when the
/// server stopped.
async fn empty_trash(app: &App) -> Result<(), CollabError> {
    loop {
        let now_ms = app.clock.now_ms();
        let before_ms = app
            .trash_ms
            .map_or(0, |age_ms| now_ms.saturating_sub(age_ms));
        let due = app.catalog.trashed_before(before_ms, AT_ONCE).await?;
        if due.is_empty() {
            return Ok(());
        }
        for (id, organization) in due {
            let actor = nobody(app, organization);
            app.collab.delete(&actor, id).await?;
        }
    }
}

//! Whether the documents that are open here are at the heads of their logs: looked at now and then, since a
//! hint of another node may be lost, and often while none can come.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use motet_bus::{AnyBus, Bus, BusState};
use motet_log::DocumentLog;
use tokio::time::sleep;

use super::registry::Registry;

/// How often while hints come.
const INTERVAL: Duration = Duration::from_secs(3);

/// How often while they do not.
const INTERVAL_ALONE: Duration = Duration::from_millis(250);

/// Compares until the server is gone. Rooms that are behind look for themselves.
pub(super) async fn watch<L: DocumentLog + Clone>(registry: Weak<Registry<L>>) {
    let Some(bus) = bus_if_shared(&registry) else {
        return;
    };
    let (state, is_local) = (bus.state(), matches!(*bus, AnyBus::Local(_)));
    drop(bus);
    loop {
        // On a bus within the process nothing comes from other nodes.
        let connected = !is_local && *state.borrow() == BusState::Connected;
        sleep(if connected { INTERVAL } else { INTERVAL_ALONE }).await;
        let Some(registry) = registry.upgrade() else {
            return;
        };
        let ids = registry.open_documents();
        let heads = match registry.shared().log.heads(&ids).await {
            Ok(heads) => heads,
            Err(error) => {
                // Rooms say so when they need it.
                tracing::debug!(%error, "heads cannot be compared");
                continue;
            }
        };
        for (id, head) in heads {
            if let Some(room) = registry.get(id)
                && head > room.signals.head()
            {
                room.signals.look();
            }
        }
    }
}

fn bus_if_shared<L: DocumentLog + Clone>(registry: &Weak<Registry<L>>) -> Option<Arc<AnyBus>> {
    let registry = registry.upgrade()?;
    let shared = registry.shared();
    shared.settings.shared.then(|| Arc::clone(&shared.bus))
}

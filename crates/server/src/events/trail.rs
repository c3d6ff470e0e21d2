//! Rows of the audit trail, and what people are to be told because of them.

use motet_bus::EventKind;
use motet_catalog::{Catalog, CatalogError};

use super::{ROWS_MAX, Shared, TellError, payload};

/// Whether events of this kind come from the trail.
pub(super) const fn tells(kind: EventKind) -> bool {
    matches!(kind, EventKind::AuditLog | EventKind::NotificationEvent)
}

/// How far the trail was told as events of this kind. All of it is told to programs, but people are told nothing
/// that happened before anybody asked for it.
pub(super) async fn begin(catalog: &Catalog, kind: EventKind) -> Result<u64, CatalogError> {
    let seq = match kind {
        EventKind::NotificationEvent => catalog.audit_seq().await?,
        _ => 0,
    };
    catalog.event_cursor(kind.as_str(), seq).await
}

impl Shared {
    /// Tells the next rows, and moves the cursor; whether there are more.
    pub(super) async fn tell_trail(&self, kind: EventKind) -> Result<bool, TellError> {
        let told = begin(&self.catalog, kind).await?;
        let rows = self.catalog.trail_after(told, ROWS_MAX).await?;
        let Some(last) = rows.last() else {
            return Ok(false);
        };
        let events: Vec<_> = match kind {
            EventKind::NotificationEvent => rows.iter().filter_map(payload::share).collect(),
            _ => rows.iter().map(payload::audit).collect(),
        };
        self.send(&events).await?;
        let advanced = self.catalog.advance_event_cursor(kind.as_str(), last.seq);
        advanced.await?;
        Ok(rows.len() >= ROWS_MAX as usize)
    }
}

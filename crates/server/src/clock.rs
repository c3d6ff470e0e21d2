//! The one clock of the server.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use motet_model::Clock;

/// A day.
pub(crate) const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// The system's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
    fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A time in ms since the Unix epoch in RFC 3339, in UTC.
pub(crate) fn rfc3339(time_ms: u64) -> String {
    // The last time that the form can show; later ones are as good as never.
    const LAST_MS: u64 = 253_402_300_799_000;
    let time = UNIX_EPOCH + Duration::from_millis(time_ms.min(LAST_MS));
    humantime::format_rfc3339_millis(time).to_string()
}

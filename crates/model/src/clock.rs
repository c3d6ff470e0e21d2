/// Where the time comes from.
///
/// The server's clock is the system's; tests and the simulator bring their own.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch. May stand still or step back; callers must not panic.
    fn now_ms(&self) -> u64;
}

//! What tests of several crates share: a place in the database that they speak to, and a network that fails.
//!
//! # Not here
//!
//! What only one crate's tests need. Nothing that is shipped depends on this.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::print_stderr,
    reason = "a test fails by panicking, and complains on the terminal"
)]

mod proxy;
mod schema;

pub use proxy::{Fault, Proxy, Weather};
pub use schema::Schema;

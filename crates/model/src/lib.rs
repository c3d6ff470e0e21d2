//! The words that every other crate shares: ids, [`Revision`], limits and the [`Clock`].
//!
//! A leaf: it knows no other crate of the project, does no I/O, reads no clock and draws no
//! randomness. Ids are made from a time and random bytes that the caller passes in.
//!
//! # Not here
//!
//! Deltas (`ot`), the storage of changes (`log`), wire forms (`protocol`).

mod change;
mod clock;
mod ids;
pub mod limits;
mod revision;

pub use change::{Change, Checkpoint};
pub use clock::Clock;
pub use ids::{
    ApiKeyId, ClientId, DocumentId, GroupId, IdError, LinkId, NodeId, OrganizationId, SessionId,
    UserId,
};
pub use revision::Revision;

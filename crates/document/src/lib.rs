//! One live document: submissions in, effects out, and no I/O in between.
//!
//! [`Document`] is a state machine. Its caller gathers [`Command`]s, asks it to
//! [`plan`](Document::plan) them, appends the plan's changes to the log, and only then
//! [`commit`](Document::commit)s the plan, which yields the [`Event`]s for the sessions. So nothing
//! becomes visible before it is durable. If somebody else has appended first, the caller
//! [`abort`](Document::abort)s the plan, has the document [`follow`](Document::follow) what the log holds, and
//! plans the same commands again. Time comes in as an argument.
//!
//! Where to look: `document.rs` puts commands in order, and edits
//! into a `plan.rs`; `edits.rs` takes what sessions change, by
//! positions (`submission.rs`), by identities, and by both (`reconciliation.rs`); `delivery.rs` brings
//! sessions to the head; `window.rs` keeps the latest changes; `clients.rs` knows what was submitted
//! before; `session/`, `presence.rs` and `awareness.rs` know who is here, `nodes.rs` and `report.rs` who is
//! on other nodes; `checkpoint.rs` is the stored
//! form; `content/` holds the replica and its text.
//!
//! # Invariants
//!
//! - **visible after durable**: an event about a change leaves only through `commit` or `follow`.
//! - **undone**: after `abort` the document is what it was before `plan`, but for what its sessions did
//!   beside edits.
//! - **fenced**: once a client is answered that comes from another node, no edit of it that was under way there
//!   is made any more.
//! - **dense**: the changes of a plan have the revisions after its base, one by one.
//! - **once**: a submission `(author, client_id, seq)` becomes at most one change.
//! - **in order**: a session is sent every change after the revision that it joined at, in order,
//!   without a gap, or is told to catch up.
//! - **harmless**: a rejected submission changes nothing, nor do bytes of other nodes that make no sense.
//! - **expires**: whoever is not heard of for 30 s is shown no longer, nor the sessions of such a node.
//!
//! # Not here
//!
//! Wire forms (`protocol`), storage (`log`), tasks, queues and sockets (`server`).

mod awareness;
mod checkpoint;
mod clients;
mod command;
pub mod content;
mod delivery;
mod document;
mod edits;
mod event;
mod nodes;
mod plan;
mod presence;
mod reconciliation;
mod report;
mod session;
mod submission;
mod window;

pub use awareness::AwarenessState;
pub use checkpoint::{OpenError, Snapshot, State};
pub use command::{Access, Command, Member, Start};
pub use document::{Document, Settings};
pub use edits::Route;
pub use event::{CloseReason, Event, Joined, Reject, SharedText};
pub use plan::{Events, Plan};
pub use presence::{Presence, PresenceUpdate, PresenceWire, Selection, Wire};
pub use reconciliation::Reconciliation;
pub use report::{REPORT_BYTES_MAX, Report, ReportError};
pub use submission::Submission;
pub use window::{BatchWire, Changes, Committed, Row};

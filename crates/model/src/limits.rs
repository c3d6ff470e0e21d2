//! Bounds that hold everywhere, related to one another by assertions at compile time.
//!
//! What an operator may change is a setting of the server, and these are its defaults.

/// Longest client id.
pub const CLIENT_ID_BYTES_MAX: usize = 64;

/// Largest message that a client may send.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Largest message that a client which speaks identities may send: it cannot send in parts what it did
/// offline. To read one takes up to some twenty times its size for a moment.
pub const UPDATE_BYTES_MAX: usize = 16 << 20;

/// Largest state vector that such a client may send.
pub const STATE_VECTOR_BYTES_MAX: usize = 1 << 20;

/// Most bytes of messages that wait for the rooms of a node, all together, but for small ones: of those a
/// room's inbox holds [`BATCH_COMMANDS_MAX`].
pub const WAITING_BYTES_MAX: usize = 128 << 20;
/// See [`WAITING_BYTES_MAX`].
pub const WAITING_SMALL_BYTES_MAX: usize = 16 << 10;

/// Most bytes and messages that wait for the authentication of a document's client.
pub const UNAUTHENTICATED_QUEUE_BYTES_MAX: usize = 1 << 20;
/// See [`UNAUTHENTICATED_QUEUE_BYTES_MAX`].
pub const UNAUTHENTICATED_QUEUE_MAX: usize = 1_000;

/// Most messages in one frame.
pub const MESSAGES_PER_FRAME_MAX: usize = 1_000;

/// Largest frame that is looked at before its sender is known.
pub const UNAUTHENTICATED_BYTES_MAX: usize = 16 << 10;

/// Largest number on the wire: every JSON reader takes it exactly.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Largest document, in UTF-16 code units.
pub const DOCUMENT_LEN_UTF16_MAX: usize = 64 << 20;

/// Largest document in bytes: its text as in JSON, and for each embed, and each stretch of formatted text
/// or 512 units of it, the JSON of embed and format and a constant.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Most memory that the replica of an open document may take, deleted units and other roots included.
pub const REPLICA_BYTES_MAX: usize = 256 << 20;

/// Most operations in one submitted delta.
pub const OPERATIONS_MAX: usize = 100_000;

/// Most steps, which are operations times changes to pass, that moving one submission to the head may
/// take: some tenths of a second of one core.
pub const TRANSFORM_STEPS_MAX: u64 = 10_000_000;

/// Largest free-form presence data of one session, as JSON.
pub const PRESENCE_DATA_BYTES_MAX: usize = 2 << 10;

/// Largest awareness state of one Yjs client, as JSON, and most clients of one session.
pub const AWARENESS_STATE_BYTES_MAX: usize = 16 << 10;
/// See [`AWARENESS_STATE_BYTES_MAX`].
pub const AWARENESS_CLIENTS_MAX: usize = 8;

/// Largest awareness update: what a client says of itself and repeats of others.
pub const AWARENESS_BYTES_MAX: usize = 256 << 10;

/// Most sessions on one document.
pub const SESSIONS_PER_DOCUMENT_MAX: usize = 2_000;

/// Most commands that one commit of a document carries.
pub const BATCH_COMMANDS_MAX: usize = 1_024;

/// Most changes, and their bytes, that an open document keeps in memory for clients that are behind: two thirds of a second
/// where 25,000 are made a second.
pub const WINDOW_CHANGES_MAX: usize = 16_384;
/// See [`WINDOW_CHANGES_MAX`].
pub const WINDOW_BYTES_MAX: usize = 8 << 20;
/// As many as this it keeps whatever their age, and others for so long.
pub const WINDOW_CHANGES_KEPT: usize = 1_024;
/// See [`WINDOW_CHANGES_KEPT`].
pub const WINDOW_AGE_MS: u64 = 30_000;

/// Most bytes that wait for one session's socket before the session counts as behind.
pub const OUTBOX_BYTES_MAX: usize = 1 << 20;

/// Most bytes of changes read from the log, or sent to a client that is behind, at a time.
pub const CATCH_UP_BYTES_MAX: usize = 256 << 10;

/// A checkpoint is made when this many changes have come since the last one, ...
pub const CHECKPOINT_CHANGES: u64 = 1_000;
/// ... but not sooner than so long after it: making one takes as long as the document is large.
pub const CHECKPOINT_INTERVAL_MS: u64 = 5_000;

const _: () = assert!(
    CATCH_UP_BYTES_MAX <= OUTBOX_BYTES_MAX,
    "a catch-up must not overflow"
);
const _: () = assert!(
    DOCUMENT_LEN_UTF16_MAX <= DOCUMENT_BYTES_MAX,
    "plain ASCII text may have about the full length"
);
const _: () = assert!(
    MESSAGE_BYTES_MAX <= DOCUMENT_BYTES_MAX,
    "the text of any one message fits"
);
const _: () = assert!(
    OPERATIONS_MAX as u64 * 100 <= TRANSFORM_STEPS_MAX,
    "the largest submission may pass what others commit while it travels"
);
const _: () = assert!(
    MESSAGE_BYTES_MAX <= WINDOW_BYTES_MAX,
    "the window holds any one change"
);
const _: () = assert!(
    BATCH_COMMANDS_MAX <= WINDOW_CHANGES_MAX,
    "a batch fits the window"
);

/// Why bytes were refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They end in the middle of something.
    #[error("the bytes end too early")]
    Truncated,
    /// They do not follow the format.
    #[error("malformed at byte {at}: {what}")]
    Malformed {
        /// Where, or how far the column was read.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A number, a clock or a client id is larger than there can be.
    #[error("a number is out of range at byte {at}")]
    OutOfRange {
        /// Where.
        at: usize,
    },
    /// A value is nested deeper than [`ANY_DEPTH_MAX`](crate::ANY_DEPTH_MAX).
    #[error("a value is nested too deep at byte {at}")]
    TooDeep {
        /// Where.
        at: usize,
    },
    /// A few bytes stand for more blocks than their length pays for.
    #[error("the update declares more blocks than its size allows")]
    TooManyBlocks,
    /// The replica would outgrow its own numbers.
    #[error("the document would be too large")]
    TooLarge,
    /// A replica's stored form is of a later format, or damaged.
    #[error("the stored form is damaged or of an unknown format")]
    Stored,
}

/// Why a change by position was refused. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// It reaches past the end.
    #[error("position {position} is out of range: the content is {len_utf16} long")]
    OutOfRange {
        /// The first position needed that does not exist.
        position: usize,
        /// The content's length.
        len_utf16: usize,
    },
    /// It begins or ends inside a surrogate pair.
    #[error("position {position} is inside a surrogate pair")]
    SplitSurrogate {
        /// Where.
        position: usize,
    },
    /// The client has used up its clocks, or the replica its numbers.
    #[error("the document would be too large")]
    TooLarge,
    /// No such place in the document any more, or not of this kind.
    #[error("there is no such place in the document")]
    NotFound,
}

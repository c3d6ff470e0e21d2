/// Why a bus or a stream of events did not do what it was asked. Each variant says what the caller
/// does next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// Nothing was sent. Send less.
    #[error("{size_bytes} bytes are more than the {limit_bytes} that can be sent")]
    TooLarge {
        /// How large it is.
        size_bytes: usize,
        /// How large it may be.
        limit_bytes: usize,
    },
    /// A setting or a name cannot be used. Correct it.
    #[error("{what} cannot be used: {detail}")]
    Invalid {
        /// Which.
        what: &'static str,
        /// What is wrong with it; never a password.
        detail: String,
    },
    /// The server was not reached, or did not do it in time: it may have done it nonetheless. Try
    /// again.
    #[error("the bus is not available: {detail}")]
    Unavailable {
        /// What failed.
        detail: String,
    },
    /// A later program wrote this. Use that one.
    #[error("event format {found} is newer than {supported}, which this program reads")]
    NewerFormat {
        /// What was found.
        found: u32,
        /// The newest that is understood.
        supported: u32,
    },
}

impl BusError {
    pub(crate) fn invalid(what: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid {
            what,
            detail: detail.into(),
        }
    }

    pub(crate) fn unavailable(error: impl std::fmt::Display) -> Self {
        Self::Unavailable {
            detail: error.to_string(),
        }
    }
}

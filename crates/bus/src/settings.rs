use std::time::Duration;

use crate::BusError;

/// Longest prefix.
pub const PREFIX_BYTES_MAX: usize = 32;

/// How a bus behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BusSettings {
    /// What all names on the server begin with: installations that share a server have different
    /// ones. 1 to [`PREFIX_BYTES_MAX`] ASCII letters, digits, `-` and `_`. Not a wall: who has the
    /// server's password reads all prefixes.
    pub prefix: String,
    /// How long the server may take to let in or to answer, before the connection counts as broken.
    pub answer_timeout: Duration,
    /// How long a connection may be silent before it is asked whether it lives.
    pub ping_interval: Duration,
}

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            prefix: "motet".to_owned(),
            answer_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(10),
        }
    }
}

impl BusSettings {
    /// Before any connection is made.
    pub(crate) fn check(&self) -> Result<(), BusError> {
        // Clients ask rustls for the one way to encrypt that is compiled in, and panic if there are
        // two. The program may have chosen another: that one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        check_name("the prefix", &self.prefix, PREFIX_BYTES_MAX)
    }
}

/// Names are parts of subjects and keys: what stands between parts is not in them.
pub(crate) fn check_name(what: &'static str, name: &str, bytes_max: usize) -> Result<(), BusError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=bytes_max).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        let detail = format!("it has 1 to {bytes_max} letters, digits, - and _");
        Err(BusError::invalid(what, detail))
    }
}

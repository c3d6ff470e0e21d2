//! Settings: defaults, then a TOML file, then `MOTET_…` from the environment, then flags.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use motet_model::limits;
use serde::{Deserialize, Serialize};

/// Every setting with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The address to listen at.
    pub(crate) listen: SocketAddr,
    /// Where everything is kept.
    pub(crate) data_dir: PathBuf,
    /// What to log, as `tracing_subscriber::EnvFilter` takes it.
    pub(crate) log: String,
    /// Log lines as JSON.
    pub(crate) log_json: bool,
    /// Whether anyone may register.
    pub(crate) registration: bool,
    /// How long an access token is valid.
    pub(crate) access_token_seconds: u64,
    /// How long a refresh token is valid.
    pub(crate) refresh_token_seconds: u64,
    /// Largest message of a WebSocket client.
    pub(crate) message_bytes_max: usize,
    /// Largest message of a Yjs client.
    pub(crate) update_bytes_max: usize,
    /// Most sessions on one document.
    pub(crate) sessions_per_document_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("data"),
            log: "info".to_owned(),
            log_json: false,
            registration: true,
            access_token_seconds: 3_600,
            refresh_token_seconds: 30 * 24 * 3_600,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            update_bytes_max: limits::UPDATE_BYTES_MAX,
            sessions_per_document_max: limits::SESSIONS_PER_DOCUMENT_MAX,
        }
    }
}

/// The settings as flags. Each is also a key of the file, with `_` for `-`, and a variable in the
/// environment, in capitals behind `MOTET_`.
#[derive(Args, Clone, Debug, Default, Serialize)]
pub struct Flags {
    /// A TOML file with settings
    #[arg(long, env = "MOTET_CONFIG", value_name = "FILE", global = true)]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Where everything is kept [default: data]
    #[arg(long, value_name = "DIR", global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    /// The address to listen at [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    /// What to log, for example `warn,motet_server=debug` [default: info]
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// Log lines as JSON [default: false]
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_json: Option<bool>,
    /// Whether anyone may register [default: true]
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    registration: Option<bool>,
    /// How long an access token is valid [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_seconds: Option<u64>,
    /// How long a refresh token is valid [default: 2592000]
    #[arg(long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token_seconds: Option<u64>,
    /// Largest message of a WebSocket client [default: 4194304]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    message_bytes_max: Option<usize>,
    /// Largest message of a Yjs client, which sends all that it did offline in one [default: 16777216]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    update_bytes_max: Option<usize>,
    /// Most sessions on one document [default: 2000]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions_per_document_max: Option<usize>,
}

impl Config {
    /// Puts the layers together.
    pub(crate) fn load(flags: &Flags) -> anyhow::Result<Self> {
        let defaults = Self::default();
        let keys = serde_json::to_value(&defaults)?;
        let keys: Vec<&str> = keys
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str())
            .collect();
        let mut layers = Figment::from(Serialized::defaults(&defaults));
        if let Some(file) = &flags.config {
            anyhow::ensure!(file.is_file(), "there is no file {}", file.display());
            layers = layers.merge(Toml::file_exact(file));
        }
        let config: Self = layers
            .merge(Env::prefixed("MOTET_").only(&keys))
            .merge(Serialized::globals(flags))
            .extract()?;
        anyhow::ensure!(
            config.access_token_seconds >= 1,
            "access_token_seconds must be at least 1"
        );
        anyhow::ensure!(
            config.message_bytes_max >= 1_024,
            "message_bytes_max must be at least 1024"
        );
        anyhow::ensure!(
            config.message_bytes_max <= limits::WINDOW_BYTES_MAX,
            "message_bytes_max must be at most {}",
            limits::WINDOW_BYTES_MAX
        );
        let updates = 1_024..=limits::REPLICA_BYTES_MAX;
        anyhow::ensure!(
            updates.contains(&config.update_bytes_max),
            "update_bytes_max must be 1024 to {}",
            limits::REPLICA_BYTES_MAX
        );
        Ok(config)
    }

    pub(crate) fn catalog(&self) -> PathBuf {
        self.data_dir.join("catalog.db")
    }

    pub(crate) fn document_log(&self) -> PathBuf {
        self.data_dir.join("log.db")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.data_dir.join("keys")
    }

    /// Makes the data directory if it is not there; only the server's own user may look into it.
    pub(crate) fn make_data_dir(&self) -> std::io::Result<&Path> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.data_dir)?;
        Ok(&self.data_dir)
    }
}

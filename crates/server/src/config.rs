//! Settings: defaults, then a TOML file, then `MOTET_…` from the environment, then flags.

mod location;
mod service;
mod told;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use motet_bus::{EventKind, EventsSettings};
use motet_model::limits;
use serde::{Deserialize, Deserializer, Serialize, de::value::StrDeserializer};

pub(crate) use self::{
    location::Location,
    service::{BusUrl, DatabaseUrl},
    told::Told,
};
use crate::{
    auth::{IssuerSettings, ProviderSettings},
    http::{ImageSource, Network, Origin, ProxyHeaders},
};

/// A hundred years.
const DAYS_MAX: u64 = 36_500;

/// A part of what a node does for all, so that each can be given as many machines as it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NodeRole {
    /// Sockets and event streams: live documents.
    Gateway,
    /// The REST API and the web application.
    Api,
    /// What runs behind the scenes.
    Worker,
}

/// Every setting with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The address to listen at.
    pub(crate) listen: SocketAddr,
    /// Where everything is kept, without a database.
    pub(crate) data_dir: PathBuf,
    /// Where people and documents are kept instead, for several nodes.
    pub(crate) database: Option<DatabaseUrl>,
    /// What carries messages between the nodes of a database.
    pub(crate) bus: Option<BusUrl>,
    /// What all names there begin with, so that several installations can share it.
    pub(crate) bus_prefix: String,
    /// What is told to other programs by the bus.
    #[serde(deserialize_with = "list")]
    pub(crate) events: Vec<Told>,
    /// How long that is kept there.
    pub(crate) events_days: u64,
    /// Where other nodes reach this one, like `http://10.0.0.5:8080`. Without it, where it listens.
    pub(crate) advertise: Option<String>,
    /// What this node does.
    #[serde(deserialize_with = "list")]
    pub(crate) roles: Vec<NodeRole>,
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
    /// How long documents stay in the trash; 0: until their owners empty it.
    pub(crate) trash_days: u64,
    /// How long guests are kept who may do nothing any more; 0: for good.
    pub(crate) guest_days: u64,
    /// Largest message of a WebSocket client.
    pub(crate) message_bytes_max: usize,
    /// Largest message of a Yjs client.
    pub(crate) update_bytes_max: usize,
    /// Most sessions on one document.
    pub(crate) sessions_per_document_max: usize,
    /// Whether the limits below hold; without, all of them are 0.
    pub(crate) limits: bool,
    /// Most requests of one user.
    pub(crate) user_requests_per_minute_max: u32,
    /// Most requests from one address.
    pub(crate) address_requests_per_minute_max: u32,
    /// Most attempts to sign in or to register from one address.
    pub(crate) address_sign_ins_per_minute_max: u32,
    /// Most submissions of one connection, on average.
    pub(crate) submissions_per_second_max: u32,
    /// Most bytes of messages of one connection, on average.
    pub(crate) bytes_per_second_max: u32,
    /// Most sessions of one user on this node.
    pub(crate) sessions_per_user_max: usize,
    /// Most documents that one user owns.
    pub(crate) documents_per_user_max: u64,
    /// Most guests who open one share link.
    pub(crate) guests_per_link_max: u32,
    /// Networks of proxies that are believed when they say for whom they speak.
    #[serde(deserialize_with = "list")]
    pub(crate) trusted_proxies: Vec<Network>,
    /// How these say it.
    pub(crate) proxy_headers: ProxyHeaders,
    /// Origins of pages that may use the server, beside its own.
    #[serde(deserialize_with = "list")]
    pub(crate) allowed_origins: Vec<Origin>,
    /// From where browsers may load pictures in documents, beside the server itself.
    #[serde(deserialize_with = "list")]
    pub(crate) image_sources: Vec<ImageSource>,
    /// By what people call this server, like `https://motet.example.com`: where sign-in providers send them
    /// back to. Without it, by whatever the request says.
    pub(crate) public_url: Option<String>,
    /// Whose tokens are taken besides the server's own.
    pub(crate) issuers: Vec<IssuerSettings>,
    /// With whom people may sign in.
    pub(crate) providers: Vec<ProviderSettings>,
}

/// A list, or in a variable or flag its elements with commas between them.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: for<'text> Deserialize<'text>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let elements = match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => text.split(',').map(ToOwned::to_owned).collect(),
        OneOrMany::Many(elements) => elements,
    };
    let elements = elements.iter().map(|it| it.trim());
    elements
        .filter(|it| !it.is_empty())
        .map(|it| T::deserialize(StrDeserializer::<D::Error>::new(it)))
        .collect()
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("data"),
            database: None,
            bus: None,
            bus_prefix: "motet".to_owned(),
            events: EventKind::ALL.map(Told).to_vec(),
            events_days: 7,
            advertise: None,
            roles: vec![NodeRole::Gateway, NodeRole::Api, NodeRole::Worker],
            log: "info".to_owned(),
            log_json: false,
            registration: true,
            access_token_seconds: 3_600,
            refresh_token_seconds: 30 * 24 * 3_600,
            trash_days: 30,
            guest_days: 7,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            update_bytes_max: limits::UPDATE_BYTES_MAX,
            sessions_per_document_max: limits::SESSIONS_PER_DOCUMENT_MAX,
            limits: true,
            user_requests_per_minute_max: 1_000,
            address_requests_per_minute_max: 3_000,
            address_sign_ins_per_minute_max: 60,
            submissions_per_second_max: 200,
            bytes_per_second_max: 4 << 20,
            sessions_per_user_max: 1_000,
            documents_per_user_max: 10_000,
            guests_per_link_max: 1_000,
            trusted_proxies: Vec::new(),
            proxy_headers: ProxyHeaders::default(),
            allowed_origins: Vec::new(),
            image_sources: Vec::new(),
            public_url: None,
            issuers: Vec::new(),
            providers: Vec::new(),
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
    /// Keep it in this PostgreSQL database instead, for several nodes: postgres://USER@HOST/NAME
    #[arg(long, value_name = "URL", global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    /// Let the nodes of the database hear of each other here: redis://HOST or nats://HOST
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<String>,
    /// What all names there begin with, where installations share it [default: motet]
    #[arg(long, value_name = "PREFIX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    bus_prefix: Option<String>,
    /// What is told to other programs by the bus, with commas; empty for nothing [default: all]
    #[arg(long, value_name = "KINDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<String>,
    /// How long that is kept there [default: 7]
    #[arg(long, value_name = "DAYS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    events_days: Option<u64>,
    /// Where the other nodes of the database reach this one: http://HOST:PORT [default: where it listens]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    advertise: Option<String>,
    /// What this node does, with commas between: gateway, api, worker [default: all of them]
    #[arg(long, value_name = "ROLES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<String>,
    /// The address to listen at [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    /// By what people call this server, like https://motet.example.com [default: by what they call it]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    public_url: Option<String>,
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
    /// How long documents stay in the trash; 0: until their owners empty it [default: 30]
    #[arg(long, value_name = "DAYS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    trash_days: Option<u64>,
    /// How long guests are kept who may do nothing any more; 0: for good [default: 7]
    #[arg(long, value_name = "DAYS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    guest_days: Option<u64>,
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
    /// Whether the limits from here to guests-per-link-max hold [default: true]
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<bool>,
    /// Most requests of one user in a minute; 0 for no limit, as in all of these [default: 1000]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    user_requests_per_minute_max: Option<u32>,
    /// Most requests from one address in a minute [default: 3000]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    address_requests_per_minute_max: Option<u32>,
    /// Most attempts to sign in or register from one address in a minute [default: 60]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    address_sign_ins_per_minute_max: Option<u32>,
    /// Most submissions of one connection in a second, on average [default: 200]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    submissions_per_second_max: Option<u32>,
    /// Most bytes of messages of one connection in a second, on average [default: 4194304]
    #[arg(long, value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second_max: Option<u32>,
    /// Most sessions of one user [default: 1000]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions_per_user_max: Option<usize>,
    /// Most documents that one user owns [default: 10000]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    documents_per_user_max: Option<u64>,
    /// Most guests who open one share link [default: 1000]
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    guests_per_link_max: Option<u32>,
    /// Networks of proxies to believe, with commas between them, for example 10.0.0.0/8
    #[arg(long, value_name = "NETWORKS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_proxies: Option<String>,
    /// How these say for whom they speak: x-forwarded or forwarded [default: x-forwarded]
    #[arg(long, value_name = "HEADERS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_headers: Option<ProxyHeaders>,
    /// Origins of pages that may use the server beside its own, with commas; * for all
    #[arg(long, value_name = "ORIGINS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_origins: Option<String>,
    /// From where browsers may load pictures in documents: https://HOST, or https: for anywhere
    #[arg(long, value_name = "SOURCES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    image_sources: Option<String>,
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
        let mut config: Self = layers
            .merge(Env::prefixed("MOTET_").only(&keys))
            .merge(Serialized::globals(flags))
            .extract()?;
        anyhow::ensure!(
            config.bus.is_none() || config.database.is_some(),
            "bus is for the nodes of a database: say which"
        );
        anyhow::ensure!(
            !config.roles.is_empty(),
            "roles must name gateway, api or worker"
        );
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
        anyhow::ensure!(
            config.trash_days.max(config.guest_days) <= DAYS_MAX,
            "trash_days and guest_days must be at most {DAYS_MAX}"
        );
        anyhow::ensure!(
            (1..=DAYS_MAX).contains(&config.events_days),
            "events_days must be 1 to {DAYS_MAX}"
        );
        let updates = 1_024..=limits::REPLICA_BYTES_MAX;
        anyhow::ensure!(
            updates.contains(&config.update_bytes_max),
            "update_bytes_max must be 1024 to {}",
            limits::REPLICA_BYTES_MAX
        );
        let is_web = |url: &String| {
            let url = url::Url::parse(url);
            url.is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        anyhow::ensure!(
            config.public_url.as_ref().is_none_or(is_web),
            "public_url must be like https://motet.example.com"
        );
        anyhow::ensure!(
            config.advertise.as_ref().is_none_or(is_web),
            "advertise must be like http://10.0.0.5:8080"
        );
        IssuerSettings::check_all(&config.issuers).map_err(anyhow::Error::msg)?;
        ProviderSettings::check_all(&config.providers).map_err(anyhow::Error::msg)?;
        if !config.limits {
            config.lift_limits();
        }
        Ok(config)
    }

    /// Whether this node does that.
    pub(crate) fn does(&self, role: NodeRole) -> bool {
        self.roles.contains(&role)
    }

    /// Whether such events are told to other programs.
    pub(crate) fn tells(&self, kind: EventKind) -> bool {
        self.bus.is_some() && self.events.contains(&Told(kind))
    }

    /// How they are kept.
    pub(crate) fn events_settings(&self) -> EventsSettings {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        let mut settings = EventsSettings::default();
        settings.bus.prefix.clone_from(&self.bus_prefix);
        settings.age_max = DAY * u32::try_from(self.events_days).unwrap_or(u32::MAX);
        settings
    }

    fn lift_limits(&mut self) {
        self.user_requests_per_minute_max = 0;
        self.address_requests_per_minute_max = 0;
        self.address_sign_ins_per_minute_max = 0;
        self.submissions_per_second_max = 0;
        self.bytes_per_second_max = 0;
        self.sessions_per_user_max = 0;
        self.documents_per_user_max = 0;
        self.guests_per_link_max = 0;
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

//! Where another service is: a URL that may hold a password, which is shown to nobody.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::Url;

/// What may be at such a URL.
pub(crate) trait Service {
    /// The setting.
    const SETTING: &str;
    /// What its URL may begin with.
    const SCHEMES: &[&str];
    /// What it looks like.
    const EXAMPLE: &str;
}

/// A PostgreSQL database.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Database;

impl Service for Database {
    const SETTING: &str = "database";
    const SCHEMES: &[&str] = &["postgres", "postgresql"];
    const EXAMPLE: &str = "postgres://user:password@host/name";
}

/// A server that carries messages between nodes, or several with commas between them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Messages;

impl Service for Messages {
    const SETTING: &str = "bus";
    const SCHEMES: &[&str] = &["redis", "rediss", "nats", "tls"];
    const EXAMPLE: &str = "redis://host or nats://host";
}

/// Where a database is.
pub(crate) type DatabaseUrl = ServiceUrl<Database>;

/// Where a bus is.
pub(crate) type BusUrl = ServiceUrl<Messages>;

/// Where a service is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServiceUrl<P> {
    url: Url,
    service: PhantomData<P>,
}

impl<P> ServiceUrl<P> {
    /// All of it, with the password.
    pub(crate) fn expose(&self) -> &str {
        self.url.as_str()
    }
}

impl ServiceUrl<Database> {
    /// Where it is, on the network. As a client of PostgreSQL takes it: the query may say it as well.
    pub(crate) fn host(&self) -> (String, u16) {
        let host = self.url.host_str().unwrap_or("localhost");
        // As a name server takes it: an address of IPv6 has brackets in a URL only.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut found = (host.to_owned(), self.url.port().unwrap_or(5432));
        for (key, value) in self.url.query_pairs() {
            match &*key {
                // The folder of a socket on this machine.
                "host" if value.starts_with('/') => found.0 = "localhost".to_owned(),
                "host" | "hostaddr" => found.0 = value.into_owned(),
                "port" => found.1 = value.parse().unwrap_or(found.1),
                _ => {}
            }
        }
        found
    }
}

/// The URL without what is secret in it: the password, and whatever stands in its query.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // A URL with a password has a host, so it takes another.
        let _taken = url.set_password(Some("***"));
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.into()
}

impl<P> fmt::Debug for ServiceUrl<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.url))
    }
}

impl<P> fmt::Display for ServiceUrl<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.url))
    }
}

impl<P> Serialize for ServiceUrl<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&shown(&self.url))
    }
}

impl<P: Service> FromStr for ServiceUrl<P> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).ok();
        let url = url.filter(|url| P::SCHEMES.contains(&url.scheme()));
        let service = PhantomData;
        // Without the text: it may hold a password.
        url.map(|url| Self { url, service })
            .ok_or_else(|| format!("{} must be like {}", P::SETTING, P::EXAMPLE))
    }
}

impl<'de, P: Service> Deserialize<'de> for ServiceUrl<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, serde_json::Error> {
        serde_json::from_value(text.into())
    }

    fn parse_bus(text: &str) -> Result<BusUrl, serde_json::Error> {
        serde_json::from_value(text.into())
    }

    #[test]
    fn nobody_is_shown_a_password() {
        let url = parse("postgres://ada:secret@db.example:5433/motet?password=secret").unwrap();
        assert!(url.expose().contains("secret"));
        let shown = [format!("{url:?}"), serde_json::to_string(&url).unwrap()];
        for text in shown {
            assert!(text.contains("ada:***@db.example:5433/motet"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
        let error = parse("mysql://ada:secret@db.example/motet").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_database_is_at_a_host() {
        for (url, host) in [
            ("postgres://ada@db.example:5433/motet", ("db.example", 5433)),
            ("postgres://[::1]/motet", ("::1", 5432)),
            ("postgresql:///motet?host=/run", ("localhost", 5432)),
            (
                "postgres:///motet?host=db.example&port=5433",
                ("db.example", 5433),
            ),
            (
                "postgres://db/motet?hostaddr=198.51.100.7",
                ("198.51.100.7", 5432),
            ),
        ] {
            let (name, port) = parse(url).unwrap().host();
            assert_eq!((name.as_str(), port), host, "{url}");
        }
    }

    #[test]
    fn only_what_can_be_opened_is_taken() {
        for good in [
            "postgres://localhost/motet",
            "postgresql:///motet?host=/run",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "motet",
            "./data",
            "sqlite://motet.db",
            "redis://localhost",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for good in [
            "redis://localhost",
            "rediss://u:p@host:1/0",
            "nats://a",
            "tls://a:4222",
        ] {
            assert!(parse_bus(good).is_ok(), "{good}");
        }
        for bad in [
            "localhost:6379",
            "postgres://localhost/motet",
            "http://localhost",
        ] {
            assert!(parse_bus(bad).is_err(), "{bad}");
        }
    }
}

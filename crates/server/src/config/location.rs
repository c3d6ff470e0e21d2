//! Where another service is: a URL that may hold a password, which is shown to nobody.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::Url;

/// A PostgreSQL database.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabaseUrl(Url);

impl DatabaseUrl {
    const SCHEMES: [&str; 2] = ["postgres", "postgresql"];

    /// Where it is, on the network.
    pub(crate) fn host(&self) -> (&str, u16) {
        let host = self.0.host_str().unwrap_or("localhost");
        (host, self.0.port().unwrap_or(5432))
    }

    /// All of it, with the password.
    pub(crate) fn expose(&self) -> &str {
        self.0.as_str()
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

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&shown(&self.0))
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let url = Url::parse(&text).ok();
        let url = url.filter(|url| Self::SCHEMES.contains(&url.scheme()));
        // Without the text: it may hold a password.
        let what = "database must be like postgres://user:password@host/name";
        url.map(Self).ok_or_else(|| D::Error::custom(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, serde_json::Error> {
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
    }
}

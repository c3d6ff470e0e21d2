//! A kind of event by its name.

use std::str::FromStr;

use motet_bus::EventKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A kind of event, as settings and flags name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told(pub(crate) EventKind);

impl FromStr for Told {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let kind = EventKind::ALL.into_iter().find(|it| it.as_str() == name);
        kind.map(Self).ok_or_else(|| {
            let names = EventKind::ALL.map(EventKind::as_str).join(", ");
            format!("{name} is no kind of event: these are {names}")
        })
    }
}

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

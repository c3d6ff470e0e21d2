//! Where an installation is kept.

use std::{fmt, path::PathBuf};

use super::{Config, DatabaseUrl};

/// Where an installation is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A data directory.
    Directory(PathBuf),
    /// A PostgreSQL database.
    Database(DatabaseUrl),
}

impl Location {
    /// A URL is that of a database, anything else the path of a directory.
    ///
    /// # Errors
    ///
    /// What to tell the person who typed it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            let what =
                "a location must be a data directory, or like postgres://user:password@host/name";
            Err(what.to_owned())
        } else if text.contains("://") {
            Ok(Self::Database(text.parse()?))
        } else {
            Ok(Self::Directory(text.into()))
        }
    }

    /// The settings of a server there.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        match self {
            Self::Directory(directory) => config.data_dir.clone_from(directory),
            Self::Database(url) => config.database = Some(url.clone()),
        }
        config
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => directory.display().fmt(f),
            Self::Database(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_directory_or_a_database() {
        let shown = |text: &str| Location::parse(text).map(|it| it.to_string());
        assert_eq!(shown("./data"), Ok("./data".to_owned()));
        assert_eq!(
            shown("postgres://ada:secret@db.example/motet"),
            Ok("postgres://ada:***@db.example/motet".to_owned())
        );
        for bad in ["", "mysql://ada:secret@db.example/motet", "postgres//:://"] {
            let told = Location::parse(bad).unwrap_err();
            assert!(!told.contains("secret"), "{told}");
        }
    }
}

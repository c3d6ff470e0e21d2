use std::{fmt, str::FromStr};

/// What a user may do with a document. Each role may do what the ones after it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Also share and delete it.
    Owner,
    /// Also change it, and its title.
    Editor,
    /// Read it, and see who is in it.
    Viewer,
}

impl Role {
    /// The role as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
        }
    }

    /// Whether it may change the document.
    #[must_use]
    pub const fn may_edit(self) -> bool {
        matches!(self, Self::Owner | Self::Editor)
    }

    /// Whether it may share and delete the document.
    #[must_use]
    pub const fn may_manage(self) -> bool {
        matches!(self, Self::Owner)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is owner, editor or viewer")]
pub struct RoleError;

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        [Self::Owner, Self::Editor, Self::Viewer]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(RoleError)
    }
}

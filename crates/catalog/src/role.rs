use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use taghouse_model::Invalid;

/// What a key may do. The table of actions lives in `api`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, keys included.
    Admin,
    /// Definitions and runs.
    Editor,
    /// May read everything, and change nothing.
    Viewer,
    /// Sending events and attributes.
    Write,
    /// Asking for judgments.
    Judge,
}

impl Role {
    /// All roles, the mightiest first.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Editor, Self::Viewer, Self::Write, Self::Judge];

    /// The name stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
            Self::Write => "write",
            Self::Judge => "judge",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            Invalid(format!("\"{text}\" is not a role: use admin, editor, viewer, write or judge"))
        })
    }
}

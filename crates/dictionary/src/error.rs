use std::path::PathBuf;
use taghouse_model::{AppId, ErrorKind};

/// What can go wrong in the dictionary.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the ids given is no user id. Nothing of the call was written.
    #[error("id number {position} of the call: {reason}")]
    UserId {
        /// Which of the ids given, from 0.
        position: usize,
        /// What is wrong with it.
        reason: taghouse_model::Invalid,
    },
    /// The app has given all ordinals of 32 bits.
    #[error("app {app} has no ordinals left for {new} more users: it may have 4,294,967,295")]
    Full {
        /// Whose.
        app: AppId,
        /// How many ids asked for one.
        new: usize,
    },
    /// Another process has it open.
    #[error("the dictionary at {path} is open in another process: stop that one, or go through it")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Stored bytes are not what was written.
    #[error(
        "the dictionary at {path} is damaged ({detail}): restore the data folder from a backup, or ingest and produce anew in an empty one"
    )]
    Corrupt {
        /// The folder.
        path: PathBuf,
        /// Where it showed.
        detail: String,
    },
    /// A file operation failed, or one before it: nothing more is written until it is opened again.
    #[error("the dictionary at {path} cannot be read or written ({detail}): look at the disk's space and rights, then start again")]
    Unavailable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}

/// A result of this room.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UserId { .. } | Self::Full { .. } => ErrorKind::Invalid,
            Self::Locked { .. } => ErrorKind::Conflict,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
        }
    }

    pub(crate) fn of_store(error: fjall::Error, path: &std::path::Path) -> Self {
        let path = path.to_owned();
        match error {
            fjall::Error::Locked => Self::Locked { path },
            fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e)) => Self::Unavailable { path, detail: e.to_string() },
            fjall::Error::Poisoned => Self::Unavailable { path, detail: "a write failed before".to_owned() },
            other => Self::Corrupt { path, detail: other.to_string() },
        }
    }
}

use std::io;
use std::path::{Path, PathBuf};
use taghouse_model::{AppId, ErrorKind, Ordinal};

/// What can go wrong in the dictionary.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the ids given is not a user id. Nothing of the call was written.
    #[error("id number {position} of the call: {reason}")]
    UserId {
        /// Which of the ids given, from 0.
        position: usize,
        /// What is wrong with it.
        reason: taghouse_model::Invalid,
    },
    /// The app has given all ordinals of 32 bits.
    #[error("app {app} has no ordinals left for {new} more users: it may have {most}")]
    Full {
        /// App that it belongs to.
        app: AppId,
        /// How many ids asked for one.
        new: usize,
        /// How many ids an app may have.
        most: u32,
    },
    /// The ordinals to be kept do not rise.
    #[error(
        "ordinal {ordinal} is kept after a higher one or twice: give the ordinals to keep in rising order"
    )]
    KeptOrder {
        /// The one out of order.
        ordinal: Ordinal,
    },
    /// Another process has it open.
    #[error(
        "the dictionary at {path} is open in another process: stop that process, or use its API"
    )]
    Locked {
        /// Path of the folder.
        path: PathBuf,
    },
    /// The app is being re-packed already.
    #[error("the users of app {app} are being re-packed: wait until it has ended")]
    Repacking {
        /// App that it belongs to.
        app: AppId,
    },
    /// The generation that was re-packed is not the current one any more.
    #[error("app {app} went over to generation {current} while another was re-packed: begin again")]
    Superseded {
        /// App that it belongs to.
        app: AppId,
        /// The generation now.
        current: u64,
    },
    /// The process ended while a re-packed generation was being published, and no one has said
    /// whether it was.
    #[error(
        "app {app} has generations {current} and {prepared}: say which of them the index is of (`settle`) before writing"
    )]
    Unsettled {
        /// App that it belongs to.
        app: AppId,
        /// The one before.
        current: u64,
        /// The re-packed one.
        prepared: u64,
    },
    /// `settle` named a generation that is not there.
    #[error(
        "app {app} has no generation {generation} to settle on: it has {present:?}; produce all tags again"
    )]
    NoGeneration {
        /// App that it belongs to.
        app: AppId,
        /// What was asked for.
        generation: u64,
        /// What there is.
        present: Vec<u64>,
    },
    /// The folder holds something else, such as the form that versions before this one wrote.
    #[error(
        "{path} is not a dictionary of this version's form (its file FORM says which it is): it is derived, so remove the folder and produce all tags again"
    )]
    OldForm {
        /// Path of the folder.
        path: PathBuf,
    },
    /// Stored bytes are not what was written.
    #[error("{path} is damaged ({detail}): {fix}")]
    Corrupt {
        /// Path of the file.
        path: PathBuf,
        /// Where it showed.
        detail: String,
        /// What to do.
        fix: &'static str,
    },
    /// A file operation failed. What it left is cleared away before the next one.
    #[error(
        "{path} of the dictionary cannot be read or written ({detail}): check that the disk has room and is writable, then retry"
    )]
    Unavailable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// For files that nothing else in the dictionary can give again.
pub(crate) const PRODUCE_AGAIN: &str = "the dictionary is derived: stop the process, remove the dictionary's folder and produce all tags again, or restore it from a backup";
/// For files that are made from the ids.
pub(crate) const REMOVE_FILE: &str =
    "stop the process, remove this file and start again: it is made again from the ids";

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UserId { .. } | Self::Full { .. } | Self::KeptOrder { .. } => ErrorKind::Invalid,
            Self::Locked { .. }
            | Self::Repacking { .. }
            | Self::Superseded { .. }
            | Self::Unsettled { .. } => ErrorKind::Conflict,
            Self::Corrupt { .. } | Self::OldForm { .. } | Self::NoGeneration { .. } => {
                ErrorKind::Corrupt
            }
            Self::Unavailable { .. } => ErrorKind::Unavailable,
        }
    }

    pub(crate) fn corrupt(path: &Path, detail: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), detail: detail.into(), fix: PRODUCE_AGAIN }
    }

    /// For `map_err`: a failed operation on `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |error| Self::Unavailable { path: path.to_owned(), detail: error.to_string() }
    }
}

use std::path::{Path, PathBuf};
use taghouse_model::ErrorKind;

/// What the catalog answers instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A condition of a commit did not hold; nothing of the commit was applied.
    #[error("{what} moved: expected {expected}, found {found}; read it again and retry")]
    Conflict {
        /// What moved: `pointer index/shop/current`, `table shop.events`, …
        what: String,
        /// The state the commit asked for.
        expected: String,
        /// The state it met.
        found: String,
    },
    /// The thing named does not exist.
    #[error("there is no {0}")]
    NotFound(String),
    /// A value that the catalog cannot hold.
    #[error("{0}")]
    Invalid(String),
    /// The file was written by a newer program.
    #[error("{} has schema version {found}, this program knows up to {known}: run a newer taghouse on it", path.display())]
    TooNew {
        /// The catalog's file.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// Busy, full, unreadable or unreachable now.
    #[error(
        "the catalog is not available: {0}; check that the disk has room, is writable, and that no other program holds the file, then retry"
    )]
    Unavailable(String),
    /// The file is not a catalog, or is damaged.
    #[error("the catalog is corrupt: {0}; restore it from a backup")]
    Corrupt(String),
    /// It lacks what was acknowledged.
    #[error(
        "the catalog {} has lost its last {missing} commits: it or its write-ahead log {} was damaged, or an old one put back; restore both from a backup, or, to go on without those commits, remove {}",
        path.display(),
        log.display(),
        mark.display()
    )]
    Lost {
        /// The catalog's file.
        path: PathBuf,
        /// Its write-ahead log.
        log: PathBuf,
        /// How many commits.
        missing: u64,
        /// The file that says how many there were.
        mark: PathBuf,
    },
    /// The file was deleted or replaced under us.
    #[error(
        "the catalog is gone ({0}), and what is acknowledged could not be found again: put the data folder back and start again"
    )]
    Gone(String),
    /// A defect of ours.
    #[error("the catalog failed: {0}")]
    Internal(String),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Invalid(_) | Self::TooNew { .. } => ErrorKind::Invalid,
            Self::Unavailable(_) | Self::Gone(_) => ErrorKind::Unavailable,
            Self::Corrupt(_) | Self::Lost { .. } => ErrorKind::Corrupt,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// Names the file of which the store complains.
    pub(crate) fn of_file(self, path: &Path) -> Self {
        let path = path.display().to_string();
        let named =
            |text: String| if text.contains(&path) { text } else { format!("{path}: {text}") };
        match self {
            Self::Unavailable(text) => Self::Unavailable(named(text)),
            Self::Corrupt(text) => Self::Corrupt(named(text)),
            other => other,
        }
    }
}

// SQLite's primary result codes, https://www.sqlite.org/rescode.html; an extended code carries its primary one in the low byte.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const IOERR: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANTOPEN: u32 = 14;
const NOTADB: u32 = 26;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database
                .code()
                .and_then(|code| code.parse::<u32>().ok())
                .map(|code| code & 0xff)
            {
                Some(BUSY | LOCKED | READONLY | IOERR | FULL | CANTOPEN) => {
                    Self::Unavailable(database.message().to_owned())
                }
                Some(CORRUPT | NOTADB) => Self::Corrupt(database.message().to_owned()),
                _ => Self::Internal(error.to_string()),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Internal(error.to_string()),
        }
    }
}

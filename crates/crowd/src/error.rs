use crate::Waits;
use taghouse_model::{AppId, ErrorKind, ValueType};

/// What can go wrong with crowds.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No index is published.
    #[error("no tags produced yet for app {app}: run `taghouse produce`")]
    NoTags {
        /// App that it belongs to.
        app: AppId,
    },
    /// The index has ordinals from before the users were renumbered.
    #[error(
        "the tags of app {app} were produced before its users were renumbered: run `taghouse produce` to rebuild them"
    )]
    OldIndex {
        /// App that it belongs to.
        app: AppId,
    },
    /// There is no such crowd. The message suggests a similar name.
    #[error("{0}")]
    UnknownCrowd(String),
    /// Nothing is known of the app's crowds yet, and the catalog cannot be asked.
    #[error(
        "the crowds of app {app} were not read since the server started, and the catalog cannot be asked now ({detail}): try again"
    )]
    Unread {
        /// App that it belongs to.
        app: AppId,
        /// What the catalog said.
        detail: String,
    },
    /// The crowd is defined and has no version.
    #[error(
        "crowd {crowd} has no version yet: run `taghouse produce` or, if it is made of files, `taghouse import {crowd} FILE`"
    )]
    NotComputed {
        /// Name of the crowd.
        crowd: String,
    },
    /// No version of the crowd answers: the newest waits to be published.
    #[error(
        "crowd {crowd} has no version that answers: version {version} waits, for {waits}; `taghouse versions publish {crowd}` lets it answer"
    )]
    Unpublished {
        /// Name of the crowd.
        crowd: String,
        /// The newest version.
        version: u64,
        /// Why it waits.
        waits: Waits,
    },
    /// The version asked for is not kept.
    #[error("crowd {crowd} has no version {version}: versions {kept} are kept")]
    UnknownVersion {
        /// Name of the crowd.
        crowd: String,
        /// What was asked for.
        version: u64,
        /// What there is.
        kept: String,
    },
    /// The user id is unknown.
    #[error("there is no user \"{user}\" in app {app}")]
    UnknownUser {
        /// The id, as it was given.
        user: String,
        /// App in which the user was looked for.
        app: AppId,
    },
    /// There is no such tag in the index. The message suggests a similar name.
    #[error("{0}")]
    UnknownTag(String),
    /// The question needs a tag with numbers.
    #[error("tag {tag} is of type {value_type}: {asked} is for int, decimal and date tags")]
    NotANumber {
        /// Name of the tag.
        tag: String,
        /// Of which type it is.
        value_type: ValueType,
        /// What was asked for.
        asked: &'static str,
    },
    /// A cursor that is not valid here.
    #[error("the cursor \"{cursor}\" {why}: begin again without a cursor")]
    Cursor {
        /// The cursor, as it was given.
        cursor: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// An argument makes no sense. The message names it.
    #[error("{0}")]
    Argument(String),
    /// A call asks for too much at once.
    #[error("{given} {what} in one call: the limit is {limit}")]
    Limit {
        /// What there was too much of, as a noun.
        what: &'static str,
        /// How many were asked for.
        given: usize,
        /// How many may be.
        limit: usize,
    },
    /// The version has ordinals from before the users were renumbered.
    #[error(
        "version {version} of crowd {crowd} was computed before the users were renumbered: run `taghouse produce`"
    )]
    OldGeneration {
        /// Name of the crowd.
        crowd: String,
        /// Number of the version.
        version: u64,
    },
    /// Others kept publishing versions of the crowd while this one was computed.
    #[error(
        "crowd {crowd} is computed by others at the same time: look at its versions, then try again"
    )]
    Contended {
        /// Name of the crowd.
        crowd: String,
    },
    /// It is made by a query, and those are run by productions.
    #[error("crowd {crowd} is made by a query, which productions run: `taghouse produce`")]
    NeedsProduction {
        /// Name of the crowd.
        crowd: String,
    },
    /// Files say who is in it, and none did yet or is given.
    #[error("crowd {crowd} is made of files: `taghouse import {crowd} FILE`")]
    NeedsImport {
        /// Name of the crowd.
        crowd: String,
    },
    /// The ordinals that it was to be made of mean other users by now.
    #[error("the users were renumbered while crowd {crowd} was computed: compute it again")]
    Renumbered {
        /// Name of the crowd.
        crowd: String,
    },
    /// Whose ids are whose cannot be read.
    #[error(transparent)]
    Identities(#[from] taghouse_identities::Error),
    /// What is stored is not what was written.
    #[error("{what} is damaged ({detail}): {fix}")]
    Corrupt {
        /// Which object or record.
        what: String,
        /// How it shows.
        detail: String,
        /// What brings it back.
        fix: &'static str,
    },
    /// A defect of ours: the work of a call ended without a result.
    #[error("internal error: {0}")]
    BrokeOff(String),
    /// Work beside the call panicked.
    #[error("internal error: {0}")]
    Task(#[from] taghouse_disk::TaskFailed),
    /// Of one expression among several.
    #[error("the expression `{name}`: {error}")]
    Expression {
        /// The name that the request gives it.
        name: String,
        /// What is wrong with it.
        error: Box<Error>,
    },
    /// The expression is invalid, or does not fit the tags.
    #[error(transparent)]
    Rules(#[from] taghouse_rules::Error),
    /// Of the index.
    #[error(transparent)]
    Index(#[from] taghouse_index::Error),
    /// A set that cannot be stored.
    #[error(transparent)]
    Bitmap(taghouse_bitmap::Error),
    /// Of the dictionary.
    #[error(transparent)]
    Dictionary(#[from] taghouse_dictionary::Error),
    /// Of the catalog.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
    /// Of the object store.
    #[error("crowd objects cannot be read or written ({0}): check the object store, then retry")]
    Store(#[from] object_store::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl From<taghouse_bitmap::Error> for Error {
    fn from(error: taghouse_bitmap::Error) -> Self {
        match error {
            error @ (taghouse_bitmap::Error::Corrupt { object: Some(_), .. }
            | taghouse_bitmap::Error::Unavailable { .. }) => Self::Index(error.into()),
            other => Self::Bitmap(other),
        }
    }
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoTags { .. }
            | Self::OldIndex { .. }
            | Self::UnknownCrowd(_)
            | Self::Unpublished { .. }
            | Self::NotComputed { .. } => ErrorKind::NotFound,
            Self::UnknownVersion { .. } | Self::UnknownUser { .. } | Self::UnknownTag(_) => {
                ErrorKind::NotFound
            }
            Self::Limit { .. } | Self::OldGeneration { .. } => ErrorKind::Invalid,
            Self::NotANumber { .. } | Self::Cursor { .. } | Self::Argument(_) => ErrorKind::Invalid,
            Self::NeedsProduction { .. } | Self::NeedsImport { .. } => ErrorKind::Invalid,
            Self::Contended { .. } | Self::Renumbered { .. } => ErrorKind::Conflict,
            Self::Identities(e) => e.kind(),
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::BrokeOff(_) | Self::Task(_) => ErrorKind::Internal,
            Self::Expression { error, .. } => error.kind(),
            Self::Rules(e) => e.kind(),
            Self::Index(e) => e.kind(),
            Self::Bitmap(e) => e.kind(),
            Self::Dictionary(e) => e.kind(),
            Self::Catalog(e) => e.kind(),
            Self::Store(_) | Self::Unread { .. } => ErrorKind::Unavailable,
        }
    }

    /// Checks what a call asks for against its limit.
    pub(crate) fn limit(what: &'static str, given: usize, limit: usize) -> Result<()> {
        if given > limit { Err(Self::Limit { what, given, limit }) } else { Ok(()) }
    }

    /// An error of one expression among several.
    pub(crate) fn of_expression(name: &str, error: Self) -> Self {
        Self::Expression { name: name.to_owned(), error: Box::new(error) }
    }

    /// A damaged object or record of a crowd: computing it again replaces it.
    pub(crate) fn corrupt(what: impl Into<String>, detail: impl ToString) -> Self {
        Self::Corrupt {
            what: what.into(),
            detail: detail.to_string(),
            fix: "compute the crowd again with `taghouse produce`",
        }
    }
}

use std::fmt::Write;
use taghouse_model::{AppId, ErrorKind, Name};
use taghouse_rules::DefinitionError;

/// What can go wrong in the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is defined for the app.
    #[error("there is no app \"{app}\"; define it with `taghouse apply -f DIR`")]
    NoApp {
        /// The app.
        app: AppId,
    },
    /// An older version of the program took definitions that this one refuses.
    #[error(
        "the stored definitions of \"{app}\" are no longer valid: {detail}; fix them and run `taghouse apply`"
    )]
    StoredDefinitions {
        /// App that it belongs to.
        app: AppId,
        /// What is wrong with them.
        detail: String,
    },
    /// The definitions were not read since the process started, and the catalog fails.
    #[error("the definitions of \"{app}\" cannot be read now ({detail}): try again")]
    UnreadDefinitions {
        /// App that it belongs to.
        app: AppId,
        /// What is wrong, as a phrase.
        detail: String,
    },
    /// The catalog has taken too long.
    #[error("the catalog does not answer")]
    CatalogLate,
    /// Definitions that are not right, each with its place.
    #[error("the definitions are refused, nothing was changed:\n{}", lines(.0))]
    Refused(Vec<DefinitionError>),
    /// Whoever asks may not do that.
    #[error("{0}")]
    NotAllowed(String),
    /// The files are of another app.
    #[error("the files define the app \"{defined}\", but the request is for \"{app}\"")]
    OtherApp {
        /// Which app the files define.
        defined: AppId,
        /// For which they were to be applied.
        app: AppId,
    },
    /// No sink has the name.
    #[error("there is no sink `{sink}`{hint}")]
    NoSink {
        /// The name.
        sink: String,
        /// A name like it.
        hint: String,
    },
    /// A crowd whose files are sent.
    #[error(
        "the crowd {crowd} has no link: give it one, `import: {{ link: {{ url: … }} }}`, or send a file with `taghouse import {crowd} FILE`"
    )]
    NoLink {
        /// The crowd.
        crowd: Name,
    },
    /// A sink that writes a topic.
    #[error(
        "the sink `{sink}` writes a topic of Kafka: only webhooks have deliveries, dead letters and tests"
    )]
    NoWebhook {
        /// The sink.
        sink: Name,
    },
    /// No activation has the name.
    #[error("there is no activation `{activation}`{hint}; `taghouse activations` lists them")]
    NoActivation {
        /// The name.
        activation: String,
        /// A name like it.
        hint: String,
    },
    /// The activation has not sent that, or it is too long ago.
    #[error(
        "the activation `{activation}` remembers no delivery {number}: `taghouse activations deliveries {activation}` lists those it does"
    )]
    NoActivationDelivery {
        /// The activation.
        activation: Name,
        /// As asked for.
        number: u64,
    },
    /// A run of the activation goes on.
    #[error(
        "the activation `{activation}` is being sent: wait until its run has ended, or cancel it; `taghouse runs` lists it"
    )]
    Activating {
        /// The activation.
        activation: Name,
    },
    /// The definition was changed while it was being sent.
    #[error(
        "the definition of the activation `{activation}` was changed while it was being sent: run it again"
    )]
    ActivationChanged {
        /// The activation.
        activation: Name,
    },
    /// What is remembered of an activation is damaged.
    #[error("the record of the activation `{activation}` cannot be read: {detail}")]
    ActivationRecord {
        /// The activation.
        activation: String,
        /// What is wrong.
        detail: String,
    },
    /// The users whom a destination did not take cannot be noted or read.
    #[error(
        "the rows that a destination did not take cannot be written or read ({path}: {source}): check that the disk has room and is writable",
        path = path.display()
    )]
    FailedRows {
        /// Path of the file or folder.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Of a destination.
    #[error(transparent)]
    Activate(#[from] taghouse_activate::Error),
    /// An id was not made a user's.
    #[error("the id \"{id}\" is not linked: {why}")]
    LinkRefused {
        /// The id.
        id: String,
        /// The reason, and the fix.
        why: String,
    },
    /// What is not an id of a user.
    #[error("{0}")]
    UserId(String),
    /// An id whose data is refused.
    #[error(
        "the data of \"{id}\" is refused, for the id is suppressed: `taghouse suppress lift` takes it again"
    )]
    Suppressed {
        /// The id.
        id: String,
    },
    /// A receipt that is none of ours.
    #[error("the receipt {0} cannot be read: restore the catalog from a backup")]
    Receipt(String),
    /// Nothing would be left, and nobody said that this is meant.
    #[error(
        "the files name no source, tag or crowd, so pruning would delete all {deleted} of \"{app}\", and nothing was changed: \
         look at which files are sent, or confirm it with `--prune --all` (in the API `\"all\": true`)"
    )]
    NothingLeft {
        /// App that it belongs to.
        app: AppId,
        /// How many would go.
        deleted: usize,
    },
    /// Two applied definitions at the same time, and the other was faster.
    #[error(
        "somebody else changed the definitions of \"{app}\" at the same time, nothing of yours was changed: apply again"
    )]
    ChangedMeanwhile {
        /// App that it belongs to.
        app: AppId,
    },
    /// A crowd that is not defined.
    #[error("there is no crowd `{crowd}` in app {app}{hint}; `taghouse crowds` lists them")]
    UnknownCrowd {
        /// As asked for.
        crowd: String,
        /// App in which the user was looked for.
        app: AppId,
        /// Which one may be meant, in words.
        hint: String,
    },
    /// A tag that is to be produced and is not defined.
    #[error("there is no tag \"{tag}\" in \"{app}\"; `taghouse tags` lists them")]
    UnknownTag {
        /// As asked for.
        tag: Name,
        /// App in which the user was looked for.
        app: AppId,
    },
    /// No source that reads files has this name.
    #[error("there is no source of files \"{source_name}\" in \"{app}\"; it has: {known}")]
    UnknownSource {
        /// As asked for.
        source_name: String,
        /// App in which the user was looked for.
        app: AppId,
        /// The sources that there are.
        known: String,
    },
    /// No source reads files.
    #[error("the app \"{app}\" defines no source that reads files")]
    NoSource {
        /// The app.
        app: AppId,
    },
    /// Several sources read files, and none was named.
    #[error("name one of the sources: {known}")]
    WhichSource {
        /// The sources that there are.
        known: String,
    },
    /// A run that cannot go on beside the one asked for.
    #[error("run {id} ({kind}) of \"{app}\" goes on: wait until it has ended, or cancel it")]
    Running {
        /// The id, as other calls take it.
        id: String,
        /// What it does.
        kind: String,
        /// Whose it is.
        app: AppId,
    },
    /// What is not a valid time.
    #[error(
        "\"{0}\" is not a time: write 2026-07-01T00:00 (the app's time zone) or 2026-07-01T00:00:00Z"
    )]
    NotATime(String),
    /// The first line of what was to be done could not be written.
    #[error("the audit trail cannot be written, so nothing was done: {0}")]
    Trail(String),
    /// A defect of ours: a landing ended without a result.
    #[error("internal error: the landing failed: {0}")]
    LandingBrokeOff(String),
    /// A defect of ours: a backup ended without a result.
    #[error("the backup failed: {0}")]
    BackupBrokeOff(String),
    /// Of the catalog.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
    /// What is kept of a user cannot be written as lines.
    #[error("internal error: the export failed: {0}")]
    Export(String),
    /// The app has no live tags to compare.
    #[error(
        "the app \"{0}\" has no live tags: give a tag `mode: stream` or `mode: both`, and apply it"
    )]
    NoLiveTags(AppId),
    /// The tag is computed by productions alone.
    #[error(
        "the tag `{tag}` is not live, so there is nothing to compare: give it `mode: stream` or `mode: both`, or name another"
    )]
    NotLive {
        /// Which tag.
        tag: Name,
    },
    /// A crowd that is never computed.
    #[error("the crowd `{crowd}` is live: it always answers by its rule, and is not computed")]
    LiveCrowd {
        /// Which crowd.
        crowd: Name,
    },
    /// A file that would leave a crowd empty.
    #[error(
        "none of the {rows} rows of the file has the id of a user, and nothing was changed: look whether it is the right file and column"
    )]
    NobodyImported {
        /// Which crowd.
        crowd: Name,
        /// How many rows the file has.
        rows: u64,
    },
    /// What is kept of rows cannot be packed or unpacked.
    #[error("internal error: the rows without users cannot be noted: {0}")]
    Unpacked(std::io::Error),
    /// An answer was to hold a position that the log has not come to.
    #[error(
        "at_least is {position}, and the log of the app has come to {end}: ask with a position that a write returned"
    )]
    NeverGiven {
        /// What was asked for.
        position: u64,
        /// The last position of the log.
        end: u64,
    },
    /// An answer was to hold a position, and what it would be from has not come so far.
    #[error(
        "the answer was to hold position {position} of the log, and after {wait_ms} ms live tags hold {}: try again, or wait longer with wait_ms",
        held(*.seen)
    )]
    Behind {
        /// What was asked for.
        position: u64,
        /// What live tags hold; `None`: they have no values yet, or no server keeps them current.
        seen: Option<u64>,
        /// How long it was waited for.
        wait_ms: u64,
    },
    /// An answer was to hold a position of what a production computes.
    #[error(
        "{what} is computed by productions, of the events before their as-of time, and so never holds a position of the log: ask without at_least, or make it live"
    )]
    HoldsNoPosition {
        /// The crowd or the tag.
        what: String,
    },
    /// Of the lake.
    #[error(transparent)]
    Lake(#[from] taghouse_lake::Error),
    /// Of the identities.
    #[error(transparent)]
    Identities(#[from] taghouse_identities::Error),
    /// Of the index.
    #[error(transparent)]
    Index(#[from] taghouse_index::Error),
    /// Of the crowds.
    #[error(transparent)]
    Crowd(#[from] taghouse_crowd::Error),
    /// Of ingestions and landings.
    #[error(transparent)]
    Ingest(#[from] taghouse_ingest::Error),
    /// Errors of productions.
    #[error(transparent)]
    Produce(#[from] taghouse_produce::Error),
    /// Errors of runs.
    #[error(transparent)]
    Schedule(#[from] taghouse_schedule::Error),
    /// Of the users.
    #[error(transparent)]
    Users(#[from] taghouse_users::Error),
    /// Of the event log.
    #[error(transparent)]
    Log(#[from] taghouse_log::Error),
    /// Of the stream.
    #[error(transparent)]
    Stream(#[from] taghouse_stream::Error),
    /// Of the change feed.
    #[error(transparent)]
    Feed(#[from] taghouse_feed::Error),
    /// Of webhooks.
    #[error(transparent)]
    Webhook(#[from] taghouse_webhook::Error),
    /// Work beside the call panicked.
    #[error("internal error: {0}")]
    Task(#[from] taghouse_disk::TaskFailed),
    /// Of a backup.
    #[error(transparent)]
    Backup(#[from] taghouse_backup::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

fn held(seen: Option<u64>) -> String {
    seen.map_or_else(|| "no position yet".to_owned(), |seen| seen.to_string())
}

fn lines(errors: &[DefinitionError]) -> String {
    let mut text = String::new();
    for (at, error) in errors.iter().enumerate() {
        let between = if at == 0 { "" } else { "\n" };
        write!(text, "{between}{error}").ok();
    }
    text
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoApp { .. }
            | Self::UnknownCrowd { .. }
            | Self::UnknownTag { .. }
            | Self::UnknownSource { .. }
            | Self::NoActivation { .. }
            | Self::NoActivationDelivery { .. }
            | Self::NoSink { .. } => ErrorKind::NotFound,
            Self::StoredDefinitions { .. }
            | Self::Refused(_)
            | Self::OtherApp { .. }
            | Self::UserId(_)
            | Self::NothingLeft { .. } => ErrorKind::Invalid,
            Self::NeverGiven { .. } | Self::HoldsNoPosition { .. } => ErrorKind::Invalid,
            Self::Behind { .. } => ErrorKind::Unavailable,
            Self::NoLiveTags(_)
            | Self::NotLive { .. }
            | Self::LiveCrowd { .. }
            | Self::NobodyImported { .. }
            | Self::NoSource { .. }
            | Self::WhichSource { .. }
            | Self::NoLink { .. }
            | Self::NotATime(_)
            | Self::ActivationChanged { .. }
            | Self::NoWebhook { .. } => ErrorKind::Invalid,
            Self::ChangedMeanwhile { .. }
            | Self::Suppressed { .. }
            | Self::Running { .. }
            | Self::Activating { .. }
            | Self::LinkRefused { .. } => ErrorKind::Conflict,
            Self::NotAllowed(_) => ErrorKind::Denied,
            Self::UnreadDefinitions { .. }
            | Self::CatalogLate
            | Self::Trail(_)
            | Self::FailedRows { .. } => ErrorKind::Unavailable,
            Self::Receipt(_) | Self::ActivationRecord { .. } => ErrorKind::Corrupt,
            Self::Activate(e) => e.kind(),
            Self::LandingBrokeOff(_)
            | Self::BackupBrokeOff(_)
            | Self::Export(_)
            | Self::Unpacked(_) => ErrorKind::Internal,
            Self::Catalog(e) => e.kind(),
            Self::Lake(e) => e.kind(),
            Self::Identities(e) => e.kind(),
            Self::Index(e) => e.kind(),
            Self::Crowd(e) => e.kind(),
            Self::Feed(e) => e.kind(),
            Self::Task(_) => ErrorKind::Internal,
            Self::Ingest(e) => e.kind(),
            Self::Produce(e) => e.kind(),
            Self::Schedule(e) => e.kind(),
            Self::Users(e) => e.kind(),
            Self::Log(e) => e.kind(),
            Self::Stream(e) => e.kind(),
            Self::Webhook(e) => e.kind(),
            Self::Backup(e) => e.kind(),
        }
    }

    /// Whether nobody who asked is to blame: something of ours did not answer, or is damaged.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::Corrupt | ErrorKind::Internal)
    }
}

impl From<Error> for taghouse_schedule::TaskError {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

/// Why a topic is not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client refuses a setting. The value is not shown: it may be a secret.
    #[error("the client refuses the setting `{setting}`")]
    Setting {
        /// Name of the setting.
        setting: String,
    },
    /// The program has no client.
    #[error("this program was built without Kafka: build it with `--features kafka`")]
    NoClient,
    /// The client cannot be made, or gave up.
    #[error("{0}")]
    Client(String),
    /// Of the change feed.
    #[error(transparent)]
    Feed(#[from] taghouse_feed::Error),
    /// Of what sinks share, and of secrets.
    #[error(transparent)]
    Sink(#[from] taghouse_sink::Error),
    /// Of the catalog.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
}

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

use taghouse_rules::UnreadSetting;

/// Why a sink cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting names a variable that is not there.
    #[error(
        "the setting `{setting}` names the environment variable {variable}, which the server does not have: set it and start the server again"
    )]
    NoVariable {
        /// Name of the setting.
        setting: String,
        /// Name of the variable.
        variable: String,
    },
    /// A setting names a file that cannot be read.
    #[error(
        "the setting `{setting}` names the file {file} of the secrets' folder, which cannot be read: {detail}"
    )]
    NoFile {
        /// Name of the setting.
        setting: String,
        /// With the folder.
        file: String,
        /// What is wrong.
        detail: String,
    },
    /// A setting names a file, and the server has no folder for such files.
    #[error(
        "the setting `{setting}` names a file of the secrets' folder, and the server has none: set {variable} to the folder and start the server again"
    )]
    NoFolder {
        /// Name of the setting.
        setting: String,
        /// The variable that names the folder.
        variable: &'static str,
    },
    /// A reference that is not one.
    #[error("the setting `{setting}`: {detail}")]
    Reference {
        /// Name of the setting.
        setting: String,
        /// What is wrong.
        detail: UnreadSetting,
    },
    /// Of the change feed.
    #[error(transparent)]
    Feed(#[from] taghouse_feed::Error),
    /// Of the catalog.
    #[error(transparent)]
    Catalog(#[from] taghouse_catalog::Error),
}

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

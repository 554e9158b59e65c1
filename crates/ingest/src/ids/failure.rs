use std::path::{Path, PathBuf};

/// Why the ids cannot be asked or noted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{}: {source}", path.display())]
    Disk { path: PathBuf, source: std::io::Error },
    /// Bytes that nobody here has written.
    #[error("{0}")]
    Damaged(String),
    /// It failed before, and was opened again elsewhere.
    #[error("it is being opened again")]
    Closed,
}

impl Failure {
    pub(super) fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { path, source }
    }

    pub(super) fn damaged(path: &Path, what: &str) -> Self {
        Self::Damaged(format!("{}: {what}", path.display()))
    }
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use taghouse_model::{AppId, Name, TimestampMs};

/// How many versions of a crowd are kept.
pub const KEPT_VERSIONS: usize = 5;

/// One computed state of a crowd. It never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrowdVersion {
    /// From 1, in order of publication.
    pub version: u64,
    /// How many members.
    pub size: u64,
    /// The index's revision that it was computed from.
    pub revision: u64,
    /// The dictionary's generation, to which its ordinals belong.
    pub generation: u64,
    /// The oldest as-of time of the tags it used, also through other crowds; `None`: it used none.
    pub oldest_as_of_ms: Option<TimestampMs>,
    /// The newest as-of time of its tags.
    pub newest_as_of_ms: Option<TimestampMs>,
    /// The expression, in canonical text.
    pub expression: String,
    /// How many users of the generation had been deleted when its object was written. It contains
    /// none of them.
    #[serde(default)]
    pub without_deleted: u64,
    /// When it was published.
    pub created_ms: TimestampMs,
    /// The path of its object in the store.
    pub object: String,
}

/// The kept versions of a crowd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrowdVersions {
    /// The number of the current version.
    pub current: u64,
    /// Oldest first; never empty.
    pub versions: Vec<CrowdVersion>,
}

/// A crowd that was computed at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrowdSummary {
    /// The name, unique within the app.
    pub name: Name,
    /// The version that answers.
    pub current: CrowdVersion,
}

impl CrowdVersions {
    /// The version that answers.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not among those kept.
    pub fn current(&self) -> Result<&CrowdVersion> {
        let found = self.versions.iter().find(|v| v.version == self.current);
        found.ok_or_else(|| {
            Error::corrupt(
                "a crowd's record",
                format!("its current version {} is not among those kept", self.current),
            )
        })
    }

    /// The versions after `next` was added as the current one.
    pub(crate) fn with(&self, next: CrowdVersion) -> Self {
        let mut versions = self.versions.clone();
        let current = next.version;
        versions.push(next);
        versions.drain(..versions.len().saturating_sub(KEPT_VERSIONS));
        Self { current, versions }
    }
}

/// The folder of a crowd's objects.
pub(crate) fn folder(app: &AppId, crowd: &str) -> String {
    format!("crowds/{app}/{crowd}")
}

/// The object of a version. An `attempt` after the first is needed when a process was stopped
/// between writing an object and publishing it, or another one is between them: neither's object
/// may be overwritten.
pub(crate) fn object(app: &AppId, crowd: &str, version: u64, attempt: u32) -> String {
    let folder = folder(app, crowd);
    if attempt == 0 {
        format!("{folder}/{version}.crowd")
    } else {
        format!("{folder}/{version}-{attempt}.crowd")
    }
}

/// The version whose object has this file name.
pub(crate) fn version_of(file_name: &str) -> Option<u64> {
    let stem = file_name.strip_suffix(".crowd")?;
    stem.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_tell_their_version() {
        let app = AppId::new("shop").unwrap();
        for (version, attempt) in [(1, 0), (12, 0), (12, 3)] {
            let path = object(&app, "big", version, attempt);
            assert_eq!(version_of(path.rsplit('/').next().unwrap()), Some(version), "{path}");
        }
        assert_eq!(version_of("notes.txt"), None);
    }
}

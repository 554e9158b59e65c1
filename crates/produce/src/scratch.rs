//! Where a production keeps what it makes on its way to the index.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use taghouse_model::AppId;

/// A folder of one production (or of one computation of live tags), which is removed with all that is in it when this is dropped. It is
/// made when something is first written there.
///
/// ```
/// use taghouse_model::AppId;
/// use taghouse_produce::ScratchFolder;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// let folder = ScratchFolder::below(scratch.path(), &AppId::new("shop")?);
/// std::fs::create_dir_all(folder.part("spill"))?;
/// drop(folder);
/// assert_eq!(std::fs::read_dir(scratch.path())?.count(), 0);
/// # Ok(())
/// # }
/// ```
pub struct ScratchFolder(PathBuf);

impl ScratchFolder {
    /// A folder below `scratch` that no other production has.
    pub fn below(scratch: &Path, app: &AppId) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self(scratch.join(format!("{app}-{process:x}-{number:x}")))
    }

    /// The path of a part of it.
    pub fn part(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.0) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // It is waste until the data folder is opened again.
            Err(error) => {
                tracing::warn!(folder = %self.0.display(), %error, "a folder of a production could not be removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_what_is_in_it() {
        let scratch = tempfile::tempdir().unwrap();
        let app = AppId::new("shop").unwrap();
        let [one, other] = [0, 1].map(|_| ScratchFolder::below(scratch.path(), &app));
        for folder in [&one, &other] {
            std::fs::create_dir_all(folder.part("spill")).unwrap();
            std::fs::write(folder.part("spill").join("1"), "x").unwrap();
        }
        drop(one);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
        drop(other);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        drop(ScratchFolder::below(scratch.path(), &app));
    }
}

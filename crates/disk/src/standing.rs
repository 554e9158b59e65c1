//! Whether a path still leads to what was opened.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file or folder as it was found. What is written to one that was deleted meanwhile is lost,
/// though every write succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Standing {
    /// Notes what is there now.
    ///
    /// # Errors
    /// The system's, where there is nothing.
    pub fn of(path: PathBuf) -> Result<Self> {
        let found = fs::metadata(&path)?;
        Ok(Self { device: found.dev(), inode: found.ino(), path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Costs one look at the path, about a microsecond.
    ///
    /// # Errors
    /// `NotFound`, naming the path, where nothing is there or something else.
    pub fn check(&self) -> Result<()> {
        let gone = |what: &str| {
            Error::new(
                ErrorKind::NotFound,
                format!("{} {what} while it was in use", self.path.display()),
            )
        };
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(gone("was replaced")),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(gone("was deleted")),
            Err(error) => {
                Err(Error::new(error.kind(), format!("{}: {error}", self.path.display())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleted_and_replaced_are_told_apart_from_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "one").unwrap();
        let standing = Standing::of(path.clone()).unwrap();
        fs::write(&path, "two").unwrap();
        standing.check().unwrap();
        let other = folder.path().join("other");
        fs::write(&other, "three").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(standing.check().unwrap_err().to_string().contains("was replaced"));
        fs::remove_file(&path).unwrap();
        assert!(standing.check().unwrap_err().to_string().contains("was deleted"));
    }
}

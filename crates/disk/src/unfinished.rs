//! Files that a process was writing when it ended: nobody reads them, and none has a name that is
//! written to again.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Result};
use std::path::Path;

/// How [`crate::replace`] calls a file until it is whole.
pub(crate) const UNFINISHED: &str = "unfinished";

/// Removes what earlier processes left unfinished in a folder and those below it: what
/// [`crate::replace`] and [`crate::DurableStore`] were writing. How many files these were. Nobody
/// else may be writing there.
///
/// # Errors
/// Errors of the operating system.
pub fn remove_unfinished(folder: &Path) -> Result<usize> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += remove_unfinished(&entry.path())?;
        } else if is_unfinished(&entry.file_name()) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Of a store's object the name ends in `#` and a number until it is whole.
fn is_unfinished(name: &OsStr) -> bool {
    let number = |name: &str| {
        name.rsplit_once('#')
            .is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    };
    Path::new(name).extension().is_some_and(|ending| ending == UNFINISHED)
        || name.to_str().is_some_and(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DurableStore;
    use object_store::ObjectStore;
    use object_store::path::Path as ObjectPath;

    /// What is there while an object is being put, as a kill would leave it.
    #[tokio::test]
    async fn what_a_killed_process_was_writing_goes_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        assert_eq!(remove_unfinished(&root.join("absent")).unwrap(), 0);
        let store = DurableStore::below(root.clone()).unwrap();
        let mut upload = store
            .put_multipart_opts(&ObjectPath::from("index/shop/n/1.seg"), Default::default())
            .await
            .unwrap();
        upload.put_part("part".into()).await.unwrap();
        std::mem::forget(upload);
        fs::write(root.join("overlay-7.unfinished"), "half").unwrap();
        let whole = ["index/shop/n/2.seg", "index/shop/n/a#b.seg", "overlay-6.bin"];
        whole.iter().for_each(|name| fs::write(root.join(name), "whole").unwrap());
        assert_eq!(remove_unfinished(&root).unwrap(), 2);
        assert_eq!(remove_unfinished(&root).unwrap(), 0);
        assert!(whole.iter().all(|name| root.join(name).exists()));
        assert_eq!(fs::read_dir(root.join("index/shop/n")).unwrap().count(), 2);
    }
}

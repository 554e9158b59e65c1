//! A copy of feeds, as they are at one moment.

use crate::app_feed::AppFeed;
use crate::feeds::Feeds;
use crate::leaps::COPIED;
use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use taghouse_disk::blocking;
use taghouse_model::AppId;

impl Feeds {
    /// Writes what was appended, and copies all feeds into a folder: files that are complete are
    /// linked where the file system has links. Nothing is synced.
    ///
    /// # Errors
    /// `Disk`.
    pub async fn copy_to(&self, to: &Path) -> Result<()> {
        let (folder, target) = (self.folder().to_owned(), to.to_owned());
        let apps = blocking(move || apps(&folder)).await?;
        for app in &apps {
            let feed = self.feed(app).await?;
            self.flush(app).await?;
            let to = target.join(app.as_str());
            blocking(move || feed.copy_to(&to)).await?;
        }
        let (folder, target) = (self.folder().to_owned(), to.to_owned());
        blocking(move || copy_small(&folder, &target)).await
    }
}

impl AppFeed {
    /// Copies what is on disk. Blocks.
    ///
    /// # Errors
    /// `Disk`.
    fn copy_to(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to).map_err(Error::disk(to))?;
        // Nothing is written and removed meanwhile.
        self.at_rest(|folder, segments| {
            let Some((last, complete)) = segments.split_last() else { return Ok(()) };
            for segment in complete {
                let copied = copied(&segment.path, to);
                if fs::hard_link(&segment.path, &copied).is_err() {
                    fs::copy(&segment.path, &copied).map_err(Error::disk(&segment.path))?;
                }
            }
            let source = File::open(&last.path).map_err(Error::disk(&last.path))?;
            let target = copied(&last.path, to);
            let mut file = File::create_new(&target).map_err(Error::disk(&target))?;
            std::io::copy(&mut source.take(last.bytes), &mut file).map_err(Error::disk(&target))?;
            copy_small(folder, to)
        })
    }
}

fn copied(path: &Path, to: &Path) -> PathBuf {
    path.file_name().map_or_else(|| to.to_owned(), |name| to.join(name))
}

/// The apps that have a folder.
fn apps(folder: &Path) -> Result<Vec<AppId>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::disk(folder)(error)),
    };
    let mut apps = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::disk(folder))?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        apps.extend(
            entry.file_name().to_str().filter(|_| is_folder).and_then(|n| AppId::new(n).ok()),
        );
    }
    Ok(apps)
}

fn copy_small(from: &Path, to: &Path) -> Result<()> {
    for name in COPIED {
        let file = from.join(name);
        if file.is_file() {
            fs::create_dir_all(to).map_err(Error::disk(to))?;
            fs::copy(&file, to.join(name)).map_err(Error::disk(&file))?;
        }
    }
    Ok(())
}

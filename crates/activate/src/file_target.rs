//! A file as a destination: written beside its place, and moved there once it is whole.

use crate::error::disk;
use crate::rows::RowFile;
use crate::{Error, Failed, Order, Piece, Result, Target, Totals};
use async_trait::async_trait;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use taghouse_rules::FileDestination;

/// Users that are encoded at a time.
const PIECE: usize = 8192;

/// A file of one delivery.
pub struct FileTarget {
    order: Order,
    format: &'static str,
    path: PathBuf,
    writing: Option<Writing>,
}

struct Writing {
    file: File,
    rows: RowFile,
}

impl FileTarget {
    /// A file below `folder`, the operator's folder for activations, in a folder of the app.
    ///
    /// # Errors
    /// [`Error::NoFolder`].
    pub fn new(folder: Option<&Path>, to: &FileDestination, order: Order) -> Result<Self> {
        let folder = folder.ok_or(Error::NoFolder)?;
        let path = to.path.replace("{version}", &order.version.to_string());
        let path = path.replace("{delivery}", &order.number.to_string());
        let path = folder.join(order.app.as_str()).join(path);
        Ok(Self { order, format: to.format, path, writing: None })
    }

    /// Where it is written until it is whole. Of one activation, one delivery is under way.
    fn part(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}.{}.part", self.order.activation))
    }
}

#[async_trait]
impl Target for FileTarget {
    fn piece_size(&self) -> usize {
        PIECE
    }

    fn resumes(&self) -> bool {
        false
    }

    fn is_whole(&self) -> bool {
        true
    }

    /// A file says what changed since another one: whether somebody still has that is not known here.
    async fn holds(&mut self, _: u64) -> Result<bool> {
        Ok(true)
    }

    async fn begin(&mut self) -> Result<bool> {
        let (part, order) = (self.part(), self.order.clone());
        let mut rows = RowFile::of(self.format)?;
        self.writing = Some(
            taghouse_disk::blocking::<_, Error>(move || {
                if let Some(parent) = part.parent() {
                    std::fs::create_dir_all(parent).map_err(disk(parent))?;
                }
                let mut file = File::create(&part).map_err(disk(&part))?;
                file.write_all(&rows.header(&order)?).map_err(disk(&part))?;
                Ok(Writing { file, rows })
            })
            .await?,
        );
        Ok(false)
    }

    async fn send(&mut self, piece: Piece<'_>) -> Result<Vec<Failed>> {
        let part = self.part();
        let Some(writing) = &mut self.writing else { return Err(Error::NotBegun) };
        let bytes = writing.rows.write(&self.order, piece)?;
        writing.file.write_all(&bytes).map_err(disk(&part))?;
        Ok(Vec::new())
    }

    async fn finish(&mut self, _: Totals) -> Result<()> {
        let (part, path) = (self.part(), self.path.clone());
        let Writing { mut file, rows } = self.writing.take().ok_or(Error::NotBegun)?;
        taghouse_disk::blocking::<_, Error>(move || {
            file.write_all(&rows.finish()?).map_err(disk(&part))?;
            file.sync_all().map_err(disk(&part))?;
            std::fs::rename(&part, &path).map_err(disk(&path))?;
            match path.parent() {
                Some(parent) => taghouse_disk::sync_folder(parent).map_err(disk(parent)),
                None => Ok(()),
            }
        })
        .await
    }
}

impl Drop for FileTarget {
    /// What was not finished is nothing.
    fn drop(&mut self) {
        if self.writing.take().is_some() {
            std::fs::remove_file(self.part()).ok();
        }
    }
}

#[cfg(test)]
mod tests;

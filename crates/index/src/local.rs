use crate::error::{Error, Result};
use crate::segment::Segment;
use crate::tag::Open;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Objects that are files here: mapped into memory, read from disk as they are touched.
pub(crate) struct Local {
    /// The folder that the object store has as its root.
    pub(crate) root: PathBuf,
}

impl Open for Local {
    fn open(&self, object: &str) -> Result<Segment> {
        let mapped =
            File::open(self.root.join(object)).and_then(|file| taghouse_bitmap::map(&file));
        match mapped {
            Ok(bytes) => Segment::open(object, bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(Error::corrupt(object, "it is missing"))
            }
            Err(e) => Err(Error::Store { object: object.to_owned(), detail: e.to_string() }),
        }
    }
}

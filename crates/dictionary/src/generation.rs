//! One generation of an app's ordinals: its files opened, and the state that readers take.

use crate::deleted::Deleted;
use crate::ids_file::IdsFile;
use crate::log_file::{Frame, LogFile};
use crate::manifest::{GenerationFiles, RunEntry};
use crate::packed::{BLANK, entry, hash};
use crate::run::{self, SortedRun, Source};
use crate::state::State;
use crate::tail::Tail;
use crate::{Error, Result};
use arc_swap::ArcSwap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by readers, who take its state and keep it, and the one writer, who replaces it.
pub(crate) struct Generation {
    pub(crate) folder: PathBuf,
    state: ArcSwap<State>,
    /// Another generation took its place: its files go with its last reader.
    retired: AtomicBool,
}

impl Generation {
    pub(crate) fn new(folder: PathBuf, state: State) -> Self {
        Self { folder, state: ArcSwap::from_pointee(state), retired: AtomicBool::new(false) }
    }

    /// Opens the files, makes runs that are missing, reads the log. Also gives the log and whether
    /// users were deleted in it.
    pub(crate) fn open(folder: PathBuf, files: &GenerationFiles) -> Result<(Self, LogFile, bool)> {
        let ids = files.ids.iter().map(|entry| {
            IdsFile::open(folder.join(&entry.file), entry.first, entry.count).map(Arc::new)
        });
        let ids = ids.collect::<Result<Vec<_>>>()?;
        let sealed_deleted = files
            .deleted
            .as_ref()
            .map(|file| Deleted::read(folder.join(file)))
            .transpose()?
            .unwrap_or_default();
        let mut runs = Vec::with_capacity(files.runs.len());
        for entry in &files.runs {
            if !folder.join(&entry.file).exists() {
                make_run(&folder, entry, &ids)?;
            }
            runs.push(Arc::new(SortedRun::open(folder.join(&entry.file), entry.first, entry.end)?));
        }
        let (tail, mut deleted) = (Tail::new(files.tail.first), sealed_deleted.clone());
        let path = folder.join(&files.tail.file);
        let log = LogFile::open(path.clone(), files.tail.first, |frame| match frame {
            Frame::Ids { first, count, packed } => {
                let loaded = (first == tail.end()).then(|| tail.load(count, packed)).flatten();
                loaded.ok_or_else(|| {
                    Error::corrupt(&path, format!("the ids of ordinals from {first} on"))
                })
            }
            Frame::Deleted(ordinals) => {
                if ordinals.iter().any(|ordinal| *ordinal >= tail.end()) {
                    return Err(Error::corrupt(&path, "a deleted ordinal was never given"));
                }
                ordinals.iter().for_each(|ordinal| tail.forget(*ordinal));
                deleted = std::mem::take(&mut deleted).with(ordinals);
                Ok(())
            }
        })?;
        let deletions = deleted.len() != sealed_deleted.len();
        Ok((Self::new(folder, State::new(ids, runs, deleted, Arc::new(tail))), log, deletions))
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// For the one writer.
    pub(crate) fn publish(&self, state: State) {
        self.state.store(Arc::new(state));
    }

    /// Its files are removed when no one reads it any more, or by the next opening.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Acquire) {
            // What stays is removed by the next opening.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A run from the ids that it covers. Holds one ids file's entries at a time.
fn make_run(folder: &Path, run: &RunEntry, ids: &[Arc<IdsFile>]) -> Result<()> {
    let mut parts = Vec::new();
    for file in ids.iter().filter(|file| (run.first..run.end).contains(&file.first)) {
        let mut entries = Vec::with_capacity(file.count as usize);
        for index in 0..file.count {
            let packed = file.packed(index)?;
            if packed != BLANK {
                entries.push(entry(hash(packed), file.first + index));
            }
        }
        entries.sort_unstable();
        let (path, end) =
            (folder.join(format!("{}.part-{}", run.file, file.first)), file.first + file.count);
        run::merge(
            path.clone(),
            &[Source::Sorted(&entries)],
            &Deleted::default(),
            file.first,
            end,
        )?;
        parts.push((SortedRun::open(path.clone(), file.first, end)?, path));
    }
    let sources: Vec<Source<'_>> = parts.iter().map(|(part, _)| Source::SortedRun(part)).collect();
    run::merge(folder.join(&run.file), &sources, &Deleted::default(), run.first, run.end)?;
    parts.iter().try_for_each(|(_, path)| fs::remove_file(path).map_err(Error::io(path)))
}

//! A generation written from one end to the other, from ids that all differ.

use crate::block_file::sync_folder;
use crate::deleted::Deleted;
use crate::ids_file::{IdsFile, IdsWriter};
use crate::log_file::LogFile;
use crate::manifest::{GenerationFiles, IdsEntry, RunEntry, TailEntry};
use crate::packed::{entry, hash};
use crate::run::{SortedRun, Source, merge};
use crate::space::generation_folder;
use crate::state::State;
use crate::tail::Tail;
use crate::{Error, Options, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use taghouse_model::Ordinal;

/// Takes the ids in order of their ordinals, from 0. Holds one ids file's entries at a time.
pub(crate) struct Builder {
    pub(crate) folder: PathBuf,
    options: Options,
    files: GenerationFiles,
    writing: Option<IdsWriter>,
    entries: Vec<u64>,
    next: Ordinal,
    ids: Vec<Arc<IdsFile>>,
    runs: Vec<Arc<SortedRun>>,
}

impl Builder {
    /// A folder left by one that was cut off is emptied.
    pub(crate) fn create(app_folder: &Path, generation: u64, options: Options) -> Result<Self> {
        let name = generation_folder(generation);
        let folder = app_folder.join(&name);
        match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(&folder)(e)),
            _ => {}
        }
        fs::create_dir(&folder).map_err(Error::io(&folder))?;
        let files = GenerationFiles {
            generation,
            folder: name,
            next: 0,
            ids: Vec::new(),
            runs: Vec::new(),
            deleted: None,
            tail: TailEntry { file: String::new(), first: 0 },
        };
        Ok(Self {
            folder,
            options,
            files,
            writing: None,
            entries: Vec::new(),
            next: 0,
            ids: Vec::new(),
            runs: Vec::new(),
        })
    }

    /// Gives the next ordinal.
    pub(crate) fn push(&mut self, packed: &[u8]) -> Result<Ordinal> {
        let ordinal = self.next;
        if self.writing.is_none() {
            let file = self.files.name("ids");
            self.writing = Some(IdsWriter::create(self.folder.join(&file), ordinal)?);
            self.files.ids.push(IdsEntry { file, first: ordinal, count: 0 });
        }
        let Some(ids) = &mut self.writing else { return Ok(ordinal) };
        ids.push(packed)?;
        self.entries.push(entry(hash(packed), ordinal));
        self.next += 1;
        if ids.count() >= self.options.seal_ids || ids.text_bytes() >= self.options.seal_bytes {
            self.end_file()?;
        }
        Ok(ordinal)
    }

    /// Ends the ids file being written and makes its run.
    fn end_file(&mut self) -> Result<()> {
        let (Some(ids), Some(entry)) = (self.writing.take(), self.files.ids.last_mut()) else {
            return Ok(());
        };
        entry.count = ids.count();
        ids.finish()?;
        let (first, count) = (entry.first, entry.count);
        self.ids.push(Arc::new(IdsFile::open(self.folder.join(&entry.file), first, count)?));
        self.entries.sort_unstable();
        let entries = std::mem::take(&mut self.entries);
        self.add_run(&[Source::Sorted(&entries)], first, first + count)
    }

    /// Makes one run of all.
    pub(crate) fn merge_runs(&mut self) -> Result<()> {
        self.end_file()?;
        if self.runs.len() < 2 {
            return Ok(());
        }
        let (runs, old) = (std::mem::take(&mut self.runs), std::mem::take(&mut self.files.runs));
        let sources: Vec<Source<'_>> = runs.iter().map(|run| Source::SortedRun(run)).collect();
        self.add_run(&sources, 0, self.next)?;
        old.iter()
            .map(|entry| self.folder.join(&entry.file))
            .try_for_each(|path| fs::remove_file(&path).map_err(Error::io(&path)))
    }

    fn add_run(&mut self, sources: &[Source<'_>], first: Ordinal, end: Ordinal) -> Result<()> {
        let file = self.files.name("run");
        merge(self.folder.join(&file), sources, &Deleted::default(), first, end)?;
        self.runs.push(Arc::new(SortedRun::open(self.folder.join(&file), first, end)?));
        self.files.runs.push(RunEntry { file, first, end });
        Ok(())
    }

    /// The generation, on disk, with these of its users deleted, and an empty log for what comes.
    pub(crate) fn finish(&mut self, deleted: Deleted) -> Result<(GenerationFiles, State, LogFile)> {
        self.end_file()?;
        if !deleted.is_empty() {
            let file = self.files.name("deleted");
            deleted.write(self.folder.join(&file))?;
            self.files.deleted = Some(file);
        }
        self.files.tail = TailEntry { file: self.files.name("tail"), first: self.next };
        let log = LogFile::create(self.folder.join(&self.files.tail.file), self.next)?;
        sync_folder(&self.folder)?;
        let state = State::new(
            self.ids.clone(),
            self.runs.clone(),
            deleted,
            Arc::new(Tail::new(self.next)),
        );
        Ok((self.files.clone(), state, log))
    }
}

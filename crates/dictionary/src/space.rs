//! One app's ordinals: the generations that can be read, and the right to write.

use crate::block_file::sync_folder;
use crate::deleted::Deleted;
use crate::generation::Generation;
use crate::log_file::{LogFile, MARK};
use crate::manifest::{GenerationFiles, MANIFEST, Manifest, TailEntry};
use crate::merge::Merging;
use crate::state::State;
use crate::tail::Tail;
use crate::{Error, Options, Result};
use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use taghouse_model::AppId;

/// The generation of an app whose first ordinals were given without another being asked for.
pub(crate) const FIRST_GENERATION: u64 = 1;

/// The files and state of one app.
pub(crate) struct Space {
    pub(crate) app: AppId,
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
    generations: ArcSwap<Generations>,
    /// Held while something is written.
    writer: Mutex<Writer>,
    pub(crate) merging: Merging,
    /// At most one re-packing at a time.
    pub(crate) repacking: AtomicBool,
}

/// What can be read now.
#[derive(Clone)]
pub(crate) struct Generations {
    pub(crate) number: u64,
    pub(crate) current: Arc<Generation>,
    /// The generation that is being published.
    pub(crate) prepared: Option<(u64, Arc<Generation>)>,
    /// While someone reads them.
    pub(crate) retired: Vec<(u64, Weak<Generation>)>,
}

/// What only the one writer has.
pub(crate) struct Writer {
    pub(crate) manifest: Manifest,
    pub(crate) log: LogFile,
    /// The log of the prepared generation, where there is one.
    pub(crate) prepared_log: Option<(LogFile, bool)>,
    /// How many of the tail's ids are in the log.
    pub(crate) logged: u32,
    /// Users were deleted since the last seal: the deleted are to be written with the next.
    pub(crate) deletions: bool,
    /// A write failed: what is on disk is not known, and the files are opened again before the
    /// next one.
    pub(crate) broken: bool,
    /// Which of two generations is the published one, where this process knows it.
    pub(crate) decided: Option<u64>,
}

impl Space {
    /// A new app in `folder`, which is not there yet. The caller syncs the folder around it.
    pub(crate) fn create(
        app: AppId,
        folder: PathBuf,
        options: Options,
        generation: u64,
    ) -> Result<Self> {
        let name = generation_folder(generation);
        let within = folder.join(&name);
        fs::create_dir_all(&within).map_err(Error::io(&within))?;
        let mut files = GenerationFiles {
            generation,
            folder: name,
            next: 0,
            ids: Vec::new(),
            runs: Vec::new(),
            deleted: None,
            tail: TailEntry { file: String::new(), first: 0 },
        };
        files.tail.file = files.name("tail");
        let log = LogFile::create(within.join(&files.tail.file), 0)?;
        sync_folder(&within)?;
        let manifest = Manifest { current: files, prepared: None };
        manifest.write(&folder)?;
        let state = State::new(Vec::new(), Vec::new(), Deleted::default(), Arc::new(Tail::new(0)));
        let generations = Generations {
            number: generation,
            current: Arc::new(Generation::new(within, state)),
            prepared: None,
            retired: Vec::new(),
        };
        let writer = Writer {
            manifest,
            log,
            prepared_log: None,
            logged: 0,
            deletions: false,
            broken: false,
            decided: None,
        };
        Ok(Self::new(app, folder, options, generations, writer))
    }

    /// The app in `folder`; `None` if its creation was cut off. Removes files that are not part of
    /// it.
    pub(crate) fn open(app: AppId, folder: PathBuf, options: Options) -> Result<Option<Self>> {
        let Some(manifest) = Manifest::read(&folder)? else {
            if holds_ids(&folder)? {
                return Err(Error::corrupt(&folder.join(MANIFEST), "it is missing"));
            }
            fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
            return Ok(None);
        };
        remove_unnamed(&folder, &manifest)?;
        let (current, log, deletions) =
            Generation::open(folder.join(&manifest.current.folder), &manifest.current)?;
        let (mut prepared, mut prepared_log) = (None, None);
        if let Some(files) = &manifest.prepared {
            let (generation, log, deletions) = Generation::open(folder.join(&files.folder), files)?;
            prepared = Some((files.generation, Arc::new(generation)));
            prepared_log = Some((log, deletions));
        }
        let logged = current.state().tail.count();
        let generations = Generations {
            number: manifest.current.generation,
            current: Arc::new(current),
            prepared,
            retired: Vec::new(),
        };
        let writer =
            Writer { manifest, log, prepared_log, logged, deletions, broken: false, decided: None };
        Ok(Some(Self::new(app, folder, options, generations, writer)))
    }

    fn new(
        app: AppId,
        folder: PathBuf,
        options: Options,
        generations: Generations,
        writer: Writer,
    ) -> Self {
        let generations = ArcSwap::from_pointee(generations);
        Self {
            app,
            folder,
            options,
            generations,
            writer: Mutex::new(writer),
            merging: Merging::default(),
            repacking: AtomicBool::new(false),
        }
    }

    pub(crate) fn generations(&self) -> Arc<Generations> {
        self.generations.load_full()
    }

    pub(crate) fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.generations().current)
    }

    /// For the one writer.
    pub(crate) fn publish(&self, generations: Generations) {
        self.generations.store(Arc::new(generations));
    }

    /// The right to write.
    pub(crate) fn write(&self) -> Result<MutexGuard<'_, Writer>> {
        let writer = self.write_unsettled()?;
        match &writer.manifest.prepared {
            None => Ok(writer),
            Some(prepared) => Err(Error::Unsettled {
                app: self.app.clone(),
                current: writer.manifest.current.generation,
                prepared: prepared.generation,
            }),
        }
    }

    /// The right to write, also where a generation waits to be settled.
    pub(crate) fn write_unsettled(&self) -> Result<MutexGuard<'_, Writer>> {
        let mut writer = self.writer.lock();
        if writer.broken {
            self.reopen(&mut writer)?;
        }
        Ok(writer)
    }

    /// Takes up again what is on disk after a failed write. Files that this leaves over are removed
    /// by the next opening.
    fn reopen(&self, writer: &mut Writer) -> Result<()> {
        writer.log.cut_back()?;
        let mut manifest = Manifest::read(&self.folder)?
            .ok_or_else(|| Error::corrupt(&self.folder.join(MANIFEST), "it is missing"))?;
        let within = self.folder.join(&manifest.current.folder);
        // A manifest that was put in place and not synced would vanish with the power, and what is
        // written from now on with it.
        sync_folder(&within)?;
        sync_folder(&self.folder)?;
        let (current, log, deletions) = Generation::open(within, &manifest.current)?;
        let before = self.generations();
        let mut generations =
            Generations { number: manifest.current.generation, ..Generations::clone(&before) };
        (generations.prepared, writer.prepared_log) = (None, None);
        if let Some(files) = &manifest.prepared {
            let (generation, log, deletions) =
                Generation::open(self.folder.join(&files.folder), files)?;
            generations.prepared = Some((files.generation, Arc::new(generation)));
            writer.prepared_log = Some((log, deletions));
        }
        if before.number != generations.number {
            generations.retired.retain(|(_, generation)| generation.strong_count() > 0);
            generations.retired.push((before.number, Arc::downgrade(&before.current)));
        }
        writer.logged = current.state().tail.count();
        // A merge beside us may be writing a file whose number no manifest knows yet.
        manifest.current.next = manifest.current.next.max(writer.manifest.current.next);
        (writer.manifest, writer.log, writer.deletions, writer.broken) =
            (manifest, log, deletions, false);
        generations.current = Arc::new(current);
        self.publish(generations);
        let Some(prepared) = writer.manifest.prepared.as_ref().map(|files| files.generation) else {
            return Ok(());
        };
        match writer.decided {
            Some(generation) if generation == prepared => {
                writer.guarded(|writer| self.switch(writer))
            }
            Some(_) => writer.guarded(|writer| self.discard(writer)),
            None => Ok(()),
        }
    }

    /// Puts the files that make up the app now into another folder.
    pub(crate) fn copy_to(&self, target: &Path) -> Result<()> {
        let writer = self.write_unsettled()?;
        for files in std::iter::once(&writer.manifest.current).chain(&writer.manifest.prepared) {
            let (from, to) = (self.folder.join(&files.folder), target.join(&files.folder));
            fs::create_dir_all(&to).map_err(Error::io(&to))?;
            for name in files.files() {
                let (file, copy) = (from.join(name), to.join(name));
                // The log grows.
                let linked = name != files.tail.file && fs::hard_link(&file, &copy).is_ok();
                if !linked {
                    fs::copy(&file, &copy).map_err(Error::io(&file))?;
                }
            }
        }
        writer.manifest.write(target)
    }

    /// Gives the current ordinals another number.
    pub(crate) fn renew(&self, generation: u64) -> Result<()> {
        let mut writer = self.write()?;
        if generation <= writer.manifest.current.generation {
            return Ok(());
        }
        writer.guarded(|writer| {
            writer.manifest.current.generation = generation;
            writer.manifest.write(&self.folder)
        })?;
        self.publish(Generations { number: generation, ..Generations::clone(&self.generations()) });
        Ok(())
    }

    /// Makes `generation` the only one.
    pub(crate) fn settle(&self, generation: u64) -> Result<()> {
        let mut writer = self.write_unsettled()?;
        let Some(prepared) = writer.manifest.prepared.as_ref().map(|files| files.generation) else {
            return Ok(());
        };
        if generation == prepared {
            return writer.guarded(|writer| self.switch(writer));
        }
        let current = writer.manifest.current.generation;
        if generation != current {
            return Err(Error::NoGeneration {
                app: self.app.clone(),
                generation,
                present: vec![current, prepared],
            });
        }
        writer.guarded(|writer| self.discard(writer))
    }

    /// Makes the prepared generation the current one, on disk and for readers.
    pub(crate) fn switch(&self, writer: &mut Writer) -> Result<()> {
        let before = self.generations();
        let (Some((number, prepared)), Some(files)) =
            (before.prepared.clone(), writer.manifest.prepared.take())
        else {
            return Ok(());
        };
        writer.manifest.current = files;
        writer.manifest.write(&self.folder)?;
        if let Some((log, deletions)) = writer.prepared_log.take() {
            (writer.log, writer.deletions) = (log, deletions);
        }
        writer.logged = prepared.state().tail.count();
        before.current.retire();
        let mut retired = before.retired.clone();
        retired.retain(|(_, generation)| generation.strong_count() > 0);
        retired.push((before.number, Arc::downgrade(&before.current)));
        self.publish(Generations { number, current: prepared, prepared: None, retired });
        Ok(())
    }

    /// Takes the prepared generation back, on disk and for readers.
    pub(crate) fn discard(&self, writer: &mut Writer) -> Result<()> {
        let before = self.generations();
        writer.manifest.prepared = None;
        writer.prepared_log = None;
        writer.manifest.write(&self.folder)?;
        self.publish(Generations { prepared: None, ..Generations::clone(&before) });
        // Now, not with its last reader: the next re-packing makes a folder of the same name.
        before.prepared.as_ref().map_or(Ok(()), |(_, prepared)| {
            fs::remove_dir_all(&prepared.folder).map_err(Error::io(&prepared.folder))
        })
    }
}

impl Writer {
    /// Does something after which, if it fails, the files are opened again before anything else is
    /// written.
    pub(crate) fn guarded<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let done = act(self);
        self.broken |= done.is_err();
        done
    }
}

pub(crate) fn generation_folder(generation: u64) -> String {
    format!("generation-{generation}")
}

/// Whether there are ids in a folder without a manifest.
fn holds_ids(folder: &Path) -> Result<bool> {
    let failed = |e: io::Error| Error::io(folder)(e);
    for generation in fs::read_dir(folder).map_err(failed)? {
        let generation = generation.map_err(failed)?.path();
        if !generation.is_dir() {
            continue;
        }
        for file in fs::read_dir(&generation).map_err(failed)? {
            let file = file.map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            if file.path().extension().is_some_and(|ending| ending == MARK) {
                continue;
            }
            if !file.file_name().to_string_lossy().starts_with("tail")
                || length > LogFile::EMPTY_BYTES
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Removes what a crash left: files and folders that the manifest does not name.
fn remove_unnamed(folder: &Path, manifest: &Manifest) -> Result<()> {
    let generations: Vec<&GenerationFiles> =
        std::iter::once(&manifest.current).chain(&manifest.prepared).collect();
    let folders = generations.iter().map(|files| files.folder.as_str()).chain([MANIFEST]).collect();
    keep_only(folder, &folders)?;
    for files in generations {
        let within = folder.join(&files.folder);
        if within.is_dir() {
            let mark = Path::new(&files.tail.file).with_extension(MARK);
            keep_only(&within, &files.files().chain(mark.to_str()).collect())?;
        }
    }
    Ok(())
}

fn keep_only(folder: &Path, names: &BTreeSet<&str>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| names.contains(name))
        {
            continue;
        }
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(Error::io(&path))?;
    }
    Ok(())
}

//! The ids on disk: new ones in a log, and in memory; the others in runs, a few for each hour.
//!
//! ```text
//! note ─► log (synced) ─► in memory ─► a run of the hour ─► merged with others of its size ─► when the hour is over, one run
//! ```
//!
//! Of a run its filter is in memory: see [`Filter`](super::filter::Filter). Readers look at runs
//! without a lock.

use super::entry::{Entry, Key};
use super::failure::{Failure, Result};
use super::kept::Kept;
use super::log::{Heard, SaidLog, Tail};
use super::merge::{self, MergePlan};
use super::run::{Run, RunWriter};
use super::said::{Marked, RunOfHour, Said, Standing, Void};
use super::{HOUR_MS, NotedId};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use taghouse_disk::{make_folder, sync_folder};
use taghouse_model::AppId;
use xxhash_rust::xxh3::xxh3_64;

/// Ids that are in memory until they are written as a run; 40 bytes each.
const TAIL_IDS: usize = 64 << 10;
/// Ids that are a run at once, when they come together.
const RUN_IDS: usize = 16 << 10;
const ENDING: &str = "ids";
const UNFINISHED: &str = "unfinished";

pub(super) struct Store {
    shared: Arc<Shared>,
    merging: Mutex<Option<JoinHandle<()>>>,
}

/// What a merge in the background works with, too.
pub(super) struct Shared {
    folder: PathBuf,
    kept: Mutex<Kept>,
    /// Who writes, one after the other.
    writer: Mutex<Writer>,
    /// What readers see.
    shown: RwLock<Shown>,
}

struct Writer {
    log: SaidLog,
    standing: Standing,
    /// It failed, or another has been opened in its place: nothing is written any more.
    is_closed: bool,
}

#[derive(Default)]
struct Shown {
    hour: u32,
    tail: HashMap<Key, u64>,
    runs: BTreeMap<u64, ShownRun>,
    voids: Arc<Vec<Void>>,
}

#[derive(Clone)]
pub(super) struct ShownRun {
    pub(super) number: u64,
    pub(super) hour: u32,
    pub(super) run: Arc<Run>,
}

impl Store {
    pub(super) fn open(folder: &Path, steady_ms: i64) -> Result<Self> {
        make_folder(folder).map_err(Failure::disk(folder))?;
        let heard = match SaidLog::open(folder)? {
            Some(heard) => heard,
            None => {
                let (standing, tail) = (Standing::default(), Tail::default());
                let log = SaidLog::renewed(folder, None, &standing, &tail)?;
                Heard { log, standing, tail }
            }
        };
        let Heard { log, standing, tail } = heard;
        sweep(folder, &standing)?;
        let mut shown = Shown { hour: tail.hour, ..Shown::default() };
        shown.tail.extend(tail.entries.iter().map(|entry| (entry.key, entry.position)));
        shown.voids = Arc::new(standing.voids.clone());
        for (number, hour) in &standing.runs {
            let run = Arc::new(Run::open(&run_path(folder, *number))?);
            shown.runs.insert(*number, ShownRun { number: *number, hour: *hour, run });
        }
        // An hour that has ids has begun.
        let newest = standing.runs.values().copied().chain([tail.hour]).max().unwrap_or(0);
        let kept = standing.kept_ms.max(i64::from(newest) * HOUR_MS);
        let shared = Shared {
            folder: folder.to_owned(),
            kept: Mutex::new(Kept::new(kept, steady_ms)),
            writer: Mutex::new(Writer { log, standing, is_closed: false }),
            shown: RwLock::new(shown),
        };
        Ok(Self { shared: Arc::new(shared), merging: Mutex::default() })
    }

    pub(super) fn now(&self, steady_ms: i64) -> i64 {
        self.shared.kept.lock().advance(steady_ms)
    }

    /// How many hours have ids.
    pub(super) fn hours(&self) -> usize {
        let shown = self.shared.shown.read();
        let of_tail = (!shown.tail.is_empty()).then_some(shown.hour);
        let hours: BTreeSet<u32> = shown.runs.values().map(|run| run.hour).chain(of_tail).collect();
        hours.len()
    }

    /// Nothing is written by this one any more; what is being written is waited for.
    pub(super) fn close(&self) {
        self.shared.writer.lock().is_closed = true;
    }

    /// Looks the ids up in one run after the other, the newest first: what is sent twice is mostly
    /// sent twice at once. In the order of keys, so that neighbours are found where the one before
    /// was.
    pub(super) fn known(&self, app: &AppId, ids: &[u128]) -> Result<Vec<bool>> {
        let hash = app_hash(app);
        let mut in_order: Vec<usize> = (0..ids.len()).collect();
        in_order.sort_unstable_by_key(|at| ids[*at]);
        let keys: Vec<Key> = in_order.iter().map(|at| Key { app: hash, id: ids[*at] }).collect();
        let (runs, voids, mut known) = {
            let shown = self.shared.shown.read();
            let known: Vec<bool> = keys.iter().map(|key| shown.tail.contains_key(key)).collect();
            let runs: Vec<ShownRun> = shown.runs.values().rev().cloned().collect();
            (runs, shown.voids.clone(), known)
        };
        for ShownRun { number, run, .. } in &runs {
            let mut found = Vec::new();
            run.find(&keys, |place| !known[place], |of_id| found.push(of_id))?;
            for of_id in found {
                let entry = Entry { key: keys[of_id.place], position: of_id.position };
                known[of_id.place] = !voids.iter().any(|void| void.has(*number, &entry));
            }
        }
        let mut by_place = vec![false; ids.len()];
        for (at, known) in in_order.into_iter().zip(known) {
            by_place[at] = known;
        }
        Ok(by_place)
    }

    pub(super) fn note(
        &self,
        app: &AppId,
        ids: &[NotedId],
        through: u64,
        steady_ms: i64,
    ) -> Result<()> {
        let mark = Marked { app: app.clone(), through };
        self.write(app, ids, Some(mark), steady_ms)
    }

    /// Without a mark: whoever is stopped in between begins again.
    pub(super) fn restore(&self, app: &AppId, ids: &[NotedId], steady_ms: i64) -> Result<()> {
        self.write(app, ids, None, steady_ms)
    }

    fn write(
        &self,
        app: &AppId,
        ids: &[NotedId],
        mark: Option<Marked>,
        steady_ms: i64,
    ) -> Result<()> {
        let kept_ms = self.now(steady_ms);
        let hour = u32::try_from(kept_ms / HOUR_MS).unwrap_or(u32::MAX);
        let hash = app_hash(app);
        let entry = |noted: &NotedId| Entry {
            key: Key { app: hash, id: noted.id },
            position: noted.position,
        };
        let mut entries: Vec<Entry> = ids.iter().map(entry).collect();
        let shared = &self.shared;
        let mut writer = shared.writing()?;
        if shared.shown.read().hour != hour {
            shared.write_tail(&mut writer, hour)?;
        }
        let mut said = Said { kept_ms, mark, hour: Some(hour), ..Said::default() };
        if entries.len() < RUN_IDS {
            shared.say(&mut writer, &said, &entries)?;
            let mut shown = shared.shown.write();
            for Entry { key, position } in entries {
                // Of one id the earliest record: it is the last to be void.
                let known = shown.tail.entry(key).or_insert(position);
                *known = position.min(*known);
            }
            let is_full = shown.tail.len() >= TAIL_IDS;
            drop(shown);
            if is_full {
                shared.write_tail(&mut writer, hour)?;
            }
        } else {
            entries.sort_unstable_by_key(|entry| (entry.key, entry.position));
            entries.dedup_by_key(|entry| entry.key);
            let run = shared.write_run(&writer.standing, hour, &entries)?;
            said.added = Some(RunOfHour { number: run.number, hour });
            shared.say(&mut writer, &said, &[])?;
            shared.shown.write().runs.insert(run.number, run);
        }
        drop(writer);
        self.merge_in_background(hour);
        Ok(())
    }

    /// See [`super::MessageIds::settle`].
    pub(super) fn settle(&self, app: &AppId, landed: u64) -> Result<bool> {
        let shared = &self.shared;
        let mut writer = shared.writing()?;
        let Some(through) = writer.standing.marks.get(app).copied() else {
            return Ok(landed == 0);
        };
        if through <= landed {
            return Ok(through == landed);
        }
        let before_run = writer.standing.next_run;
        let void = Void { app: app_hash(app), after: landed, through, before_run };
        let said = Said {
            kept_ms: writer.standing.kept_ms,
            mark: Some(Marked { app: app.clone(), through: landed }),
            void: Some(void.clone()),
            ..Said::default()
        };
        shared.say(&mut writer, &said, &[])?;
        let mut shown = shared.shown.write();
        shown.tail.retain(|key, at| !void.has_in_memory(&Entry { key: *key, position: *at }));
        shown.voids = Arc::new(writer.standing.voids.clone());
        Ok(true)
    }

    /// Drops the hours that were over at `before_ms` of kept time.
    pub(super) fn forget(&self, before_ms: i64) -> Result<()> {
        let is_over = |hour: u32| (i64::from(hour) + 1) * HOUR_MS <= before_ms;
        let shared = &self.shared;
        if !shared.shown.read().runs.values().any(|run| is_over(run.hour)) {
            return Ok(());
        }
        let mut writer = shared.writing()?;
        let runs = &writer.standing.runs;
        let removed: Vec<u64> =
            runs.iter().filter(|(_, hour)| is_over(**hour)).map(|(number, _)| *number).collect();
        shared.replace(&mut writer, None, removed)
    }

    /// Merges runs, one merge at a time.
    fn merge_in_background(&self, hour: u32) {
        let mut merging = self.merging.lock();
        if merging.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let plan = {
            let shown = self.shared.shown.read();
            merge::plan(shown.runs.values(), hour)
        };
        let Some(plan) = plan else { return };
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("message-ids".to_owned());
        let spawned = thread.spawn(move || {
            // What is left unmerged is merged later.
            if let Err(error) = shared.merge(&plan) {
                tracing::warn!(%error, "message ids could not be merged");
            }
        });
        *merging = spawned
            .inspect_err(|error| tracing::warn!(%error, "no thread to merge message ids"))
            .ok();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.merging.get_mut().take()
            && thread.join().is_err()
        {
            tracing::error!("merging message ids ended in a panic");
        }
    }
}

impl Shared {
    fn writing(&self) -> Result<parking_lot::MutexGuard<'_, Writer>> {
        let writer = self.writer.lock();
        if writer.is_closed { Err(Failure::Closed) } else { Ok(writer) }
    }

    /// After a failure nobody knows what is on disk: another is opened.
    fn say(&self, writer: &mut Writer, said: &Said, entries: &[Entry]) -> Result<()> {
        let outcome = writer.log.say(said, entries);
        writer.is_closed |= outcome.is_err();
        outcome?;
        writer.standing.hear(said);
        Ok(())
    }

    /// Makes a run of what is in memory. From then on ids of `hour` are there.
    fn write_tail(&self, writer: &mut Writer, hour: u32) -> Result<()> {
        let (of_hour, mut entries) = {
            let shown = self.shown.read();
            let entry = |(key, position): (&Key, &u64)| Entry { key: *key, position: *position };
            (shown.hour, shown.tail.iter().map(entry).collect::<Vec<_>>())
        };
        let run = match entries.is_empty() {
            true => None,
            false => {
                entries.sort_unstable_by_key(|entry| entry.key);
                Some(self.write_run(&writer.standing, of_hour, &entries)?)
            }
        };
        let mut standing = writer.standing.clone();
        if let Some(ShownRun { number, hour, .. }) = run {
            let added = Some(RunOfHour { number, hour });
            standing.hear(&Said { added, ..Said::default() });
        }
        let tail = Tail { hour, entries: Vec::new() };
        let renewed = SaidLog::renewed(&self.folder, Some(&writer.log), &standing, &tail);
        writer.is_closed |= renewed.is_err();
        (writer.log, writer.standing) = (renewed?, standing);
        let mut shown = self.shown.write();
        shown.hour = hour;
        shown.tail.clear();
        shown.runs.extend(run.map(|run| (run.number, run)));
        Ok(())
    }

    /// Writes the next run; nothing says yet that it is there.
    fn write_run(&self, standing: &Standing, hour: u32, entries: &[Entry]) -> Result<ShownRun> {
        let unfinished = self.unfinished();
        let write = || {
            let mut run = RunWriter::new(unfinished.clone(), entries.len() as u64)?;
            entries.iter().try_for_each(|entry| run.push(entry))?;
            run.finish()?;
            self.name_run(&unfinished, standing.next_run, hour)
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&unfinished)))
    }

    /// Gives a run that was written its number.
    fn name_run(&self, unfinished: &Path, number: u64, hour: u32) -> Result<ShownRun> {
        let path = run_path(&self.folder, number);
        std::fs::rename(unfinished, &path).map_err(Failure::disk(&path))?;
        sync_folder(&self.folder).map_err(Failure::disk(&self.folder))?;
        Ok(ShownRun { number, hour, run: Arc::new(Run::open(&path)?) })
    }

    /// A path that nobody else writes to.
    fn unfinished(&self) -> PathBuf {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        self.folder.join(format!("{}.{UNFINISHED}", NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    /// Says that a run came and others went.
    fn replace(
        &self,
        writer: &mut Writer,
        added: Option<ShownRun>,
        removed: Vec<u64>,
    ) -> Result<()> {
        let of_hour = |run: &ShownRun| RunOfHour { number: run.number, hour: run.hour };
        let said = Said {
            kept_ms: writer.standing.kept_ms,
            added: added.as_ref().map(of_hour),
            removed: removed.clone(),
            ..Said::default()
        };
        self.say(writer, &said, &[])?;
        let mut shown = self.shown.write();
        removed.iter().for_each(|number| drop(shown.runs.remove(number)));
        shown.runs.extend(added.map(|run| (run.number, run)));
        shown.voids = Arc::new(writer.standing.voids.clone());
        drop(shown);
        for number in removed {
            let path = run_path(&self.folder, number);
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(file = %path.display(), %error, "a file of message ids stays until the next start");
            }
        }
        Ok(())
    }

    fn merge(&self, plan: &MergePlan) -> Result<()> {
        let voids = self.shown.read().voids.clone();
        let unfinished = self.unfinished();
        let written = merge::write(plan, &voids, unfinished.clone()).and_then(|()| {
            let mut writer = self.writing()?;
            let are_there =
                plan.runs.iter().all(|run| writer.standing.runs.contains_key(&run.number));
            // Ids may have become void meanwhile, of which the new run would not know.
            if !are_there || *self.shown.read().voids != *voids {
                return Err(Failure::Closed);
            }
            let run = self.name_run(&unfinished, writer.standing.next_run, plan.hour)?;
            let numbers = plan.runs.iter().map(|run| run.number).collect();
            self.replace(&mut writer, Some(run), numbers)
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
        match written {
            // Its runs are gone, or others merge them.
            Err(Failure::Closed) => Ok(()),
            other => other,
        }
    }
}

fn run_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.{ENDING}"))
}

/// Removes what nothing says is there: runs that were being written, and files of other kinds of
/// stores, whose ids are read again from the lake.
fn sweep(folder: &Path, standing: &Standing) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(Failure::disk(folder))?;
    for entry in entries {
        let path = entry.map_err(Failure::disk(folder))?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        let stays = match (ending, number) {
            (Some("log"), Some(_)) => true,
            (Some(ENDING), Some(number)) => standing.runs.contains_key(&number),
            _ => false,
        };
        if !stays {
            let removed = match path.is_dir() {
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
            match removed {
                // A merge that was given up removes its own.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.map_err(Failure::disk(&path))?,
            }
        }
    }
    Ok(())
}

fn app_hash(app: &AppId) -> u64 {
    xxh3_64(app.as_str().as_bytes())
}

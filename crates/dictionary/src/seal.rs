//! From the tail into immutable files, and the erasing of deleted users' text.

use crate::block_file::sync_folder;
use crate::generation::Generation;
use crate::ids_file::{IdsFile, IdsWriter};
use crate::log_file::{LogFile, MARK};
use crate::manifest::{GenerationFiles, IdsEntry, RunEntry, TailEntry};
use crate::packed::{BLANK, entry};
use crate::run::{SortedRun, Source, merge};
use crate::space::{Space, Writer};
use crate::state::State;
use crate::tail::Tail;
use crate::{Error, Result};
use std::fs;
use std::path::Path;
use std::sync::Arc;

impl Space {
    /// Makes the tail an ids file and, with small runs, a run; then a new tail begins.
    pub(crate) fn seal(
        self: &Arc<Self>,
        writer: &mut Writer,
        generation: &Generation,
    ) -> Result<()> {
        let (state, folder) = (generation.state(), &generation.folder);
        let tail = &state.tail;
        let (first, count) = (tail.first, tail.count());
        if count == 0 {
            return Ok(());
        }
        let end = first + count;
        let mut files = writer.manifest.current.clone();
        let (ids, mut entries) = write_ids(folder, &mut files, &state)?;
        entries.sort_unstable();
        let kept = self.runs_kept_by_seal(&state.runs, entries.len());
        let mut sources: Vec<Source<'_>> =
            state.runs[kept..].iter().map(|run| Source::SortedRun(run)).collect();
        sources.push(Source::Sorted(&entries));
        let run_first = state.runs.get(kept).map_or(first, |run| run.first);
        let name = files.name("run");
        merge(folder.join(&name), &sources, &state.deleted, run_first, end)?;
        let mut runs = state.runs[..kept].to_vec();
        runs.push(Arc::new(SortedRun::open(folder.join(&name), run_first, end)?));
        files.runs.truncate(kept);
        files.runs.push(RunEntry { file: name, first: run_first, end });
        if writer.deletions {
            let name = files.name("deleted");
            state.deleted.write(folder.join(&name))?;
            files.deleted = Some(name);
        }
        files.tail = TailEntry { file: files.name("tail"), first: end };
        let log = LogFile::create(folder.join(&files.tail.file), end)?;
        let all = state.ids().iter().cloned().chain([Arc::new(ids)]).collect();
        let sealed = State::new(all, runs, state.deleted.clone(), Arc::new(Tail::after(tail)));
        self.replace_files(writer, generation, files, sealed)?;
        (writer.log, writer.logged, writer.deletions) = (log, 0, false);
        self.start_merging(&generation.state().runs);
        Ok(())
    }

    pub(crate) fn purge(self: &Arc<Self>) -> Result<u64> {
        let mut writer = self.write()?;
        let generation = self.current();
        writer.guarded(|writer| self.erase(writer, &generation))
    }

    /// Erases the text of deleted users from the files; the number of texts.
    fn erase(self: &Arc<Self>, writer: &mut Writer, generation: &Generation) -> Result<u64> {
        let before = generation.state();
        let in_tail =
            before.deleted.iter().filter(|ordinal| *ordinal >= before.tail.first).count() as u64;
        if in_tail > 0 {
            self.seal(writer, generation)?;
        }
        let (state, folder) = (generation.state(), &generation.folder);
        let mut files = writer.manifest.current.clone();
        let (mut ids, mut erased) = (state.ids().to_vec(), 0);
        for (at, file) in ids.iter_mut().enumerate() {
            let name = format!("ids-{}", files.next + 1);
            let texts = rewrite_ids(folder, &name, file, &state)?;
            if texts > 0 {
                files.ids[at].file = files.name("ids");
                *file = Arc::new(IdsFile::open(folder.join(&name), file.first, file.count)?);
                erased += texts;
            }
        }
        if erased == 0 {
            return Ok(in_tail);
        }
        let (mut runs, end) = (state.runs.clone(), state.tail.first);
        if !runs.is_empty() {
            let name = files.name("run");
            let sources: Vec<Source<'_>> = runs.iter().map(|run| Source::SortedRun(run)).collect();
            merge(folder.join(&name), &sources, &state.deleted, 0, end)?;
            runs = vec![Arc::new(SortedRun::open(folder.join(&name), 0, end)?)];
            files.runs = vec![RunEntry { file: name, first: 0, end }];
        }
        let erased_state = State::new(ids, runs, state.deleted.clone(), Arc::clone(&state.tail));
        self.replace_files(writer, generation, files, erased_state)?;
        Ok(in_tail + erased)
    }

    /// Makes `files` the current generation's, on disk and then for readers, and removes what is no
    /// longer among them.
    pub(crate) fn replace_files(
        &self,
        writer: &mut Writer,
        generation: &Generation,
        files: GenerationFiles,
        state: State,
    ) -> Result<()> {
        sync_folder(&generation.folder)?;
        let old = std::mem::replace(&mut writer.manifest.current, files);
        writer.manifest.write(&self.folder)?;
        generation.publish(state);
        for file in
            old.files().filter(|file| !writer.manifest.current.files().any(|kept| kept == *file))
        {
            let path = generation.folder.join(file);
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
        if old.tail.file != writer.manifest.current.tail.file {
            // What stays is removed by the next opening.
            let _ = fs::remove_file(generation.folder.join(&old.tail.file).with_extension(MARK));
        }
        Ok(())
    }
}

/// Writes the tail's ids, without the text of deleted users, and gives their entries.
fn write_ids(
    folder: &Path,
    files: &mut GenerationFiles,
    state: &State,
) -> Result<(IdsFile, Vec<u64>)> {
    let (tail, name) = (&state.tail, files.name("ids"));
    let mut ids = IdsWriter::create(folder.join(&name), tail.first)?;
    let mut entries = Vec::with_capacity(tail.count() as usize);
    tail.each(|packed, hash| {
        let ordinal = tail.first + ids.count();
        if state.deleted.contains(ordinal) {
            return ids.push(BLANK);
        }
        entries.push(entry(hash, ordinal));
        ids.push(packed)
    })?;
    ids.finish()?;
    let file = IdsFile::open(folder.join(&name), tail.first, tail.count())?;
    files.ids.push(IdsEntry { file: name, first: tail.first, count: tail.count() });
    Ok((file, entries))
}

/// Writes the ids of `file` again without the text of deleted users, if it has any; gives how many.
fn rewrite_ids(folder: &Path, name: &str, file: &IdsFile, state: &State) -> Result<u64> {
    let mut texts = 0;
    let end = u64::from(file.first) + u64::from(file.count);
    let within = |ordinal: &u32| *ordinal >= file.first && u64::from(*ordinal) < end;
    for ordinal in state.deleted.iter().filter(within) {
        texts += u64::from(!file.is_blank(ordinal - file.first)?);
    }
    if texts == 0 {
        return Ok(0);
    }
    let mut ids = IdsWriter::create(folder.join(name), file.first)?;
    for index in 0..file.count {
        let deleted = state.deleted.contains(file.first + index);
        ids.push(if deleted { BLANK } else { file.packed(index)? })?;
    }
    ids.finish()?;
    Ok(texts)
}

//! Assigns ordinals to new ids, and removes those of deleted users.

use crate::generation::Generation;
use crate::packed::Keys;
use crate::space::{Space, Writer};
use crate::tail::{NONE, Tail};
use crate::{Error, Result};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use taghouse_model::{Ordinal, check_user_id};

/// New ids between two syncs of a large call: bounds the tail.
const PART: usize = 1 << 20;
/// Ids packed at a time.
const PACK: usize = 4096;
/// A frame of the log has about this many bytes. A call that fits into one frame is atomic.
const FRAME_BYTES: usize = 4 << 20;
/// Ordinals of one frame of deletions.
const FRAME_DELETIONS: usize = 1 << 20;

impl Space {
    pub(crate) fn assign(self: &Arc<Self>, ids: &[&str]) -> Result<Vec<Ordinal>> {
        for (position, id) in ids.iter().enumerate() {
            check_user_id(id).map_err(|reason| Error::UserId { position, reason })?;
        }
        let before = self.current();
        let state = before.state();
        let seen = state.len();
        let mut found = state.lookup(ids)?;
        if !found.contains(&NONE) {
            return Ok(found);
        }
        let mut writer = self.write()?;
        let generation = self.current();
        if !Arc::ptr_eq(&before, &generation) {
            found = generation.state().lookup(ids)?;
        }
        self.check_room(&generation, ids, &found)?;
        for (ids, found) in ids.chunks(PART).zip(found.chunks_mut(PART)) {
            writer.guarded(|writer| self.assign_part(writer, &generation, seen, ids, found))?;
        }
        Ok(found)
    }

    /// `seen` is the number of ordinals before `found` was looked up.
    fn assign_part(
        self: &Arc<Self>,
        writer: &mut Writer,
        generation: &Generation,
        seen: u32,
        ids: &[&str],
        found: &mut [Ordinal],
    ) -> Result<()> {
        let missing = |found: &[Ordinal]| -> Vec<usize> {
            (0..found.len()).filter(|at| found[*at] == NONE).collect()
        };
        let mut places = missing(found);
        if places.is_empty() {
            return Ok(());
        }
        let state = generation.state();
        if state.len() != seen {
            // Again, now that no one else writes: others, or the parts before, gave some meanwhile.
            let again: Vec<&str> = places.iter().map(|at| ids[*at]).collect();
            for (at, ordinal) in places.iter().zip(state.lookup(&again)?) {
                found[*at] = ordinal;
            }
            places = missing(found);
        }
        let mut keys = Keys::default();
        for places in places.chunks(PACK) {
            keys.pack(places.iter().map(|at| ids[*at]));
            state.tail.push(&keys, places, found);
        }
        writer.log_tail(&state.tail)?;
        if state.tail.count() >= self.options.seal_ids
            || state.tail.text_bytes() >= self.options.seal_bytes
        {
            self.seal(writer, generation)?;
        }
        Ok(())
    }

    /// An error if there are not ordinals for all that have none; counts them one by one only when
    /// it is close.
    fn check_room(&self, generation: &Generation, ids: &[&str], found: &[Ordinal]) -> Result<()> {
        let room = self.options.most_ids.saturating_sub(generation.state().len()) as usize;
        let missing = || ids.iter().zip(found).filter(|(_, ordinal)| **ordinal == NONE);
        if missing().count() <= room {
            return Ok(());
        }
        let texts: HashSet<&str> = missing().map(|(id, _)| *id).collect();
        let texts: Vec<&str> = texts.into_iter().collect();
        // Others may have given some of them meanwhile.
        let new =
            generation.state().lookup(&texts)?.iter().filter(|ordinal| **ordinal == NONE).count();
        if new > room {
            Err(Error::Full { app: self.app.clone(), new, most: self.options.most_ids })
        } else {
            Ok(())
        }
    }

    pub(crate) fn delete(&self, ordinals: &[Ordinal]) -> Result<Vec<Option<String>>> {
        let mut writer = self.write()?;
        let generation = self.current();
        let state = generation.state();
        let mut texts = state.resolve(ordinals)?;
        let mut deleted = BTreeSet::new();
        for (ordinal, text) in ordinals.iter().zip(&mut texts) {
            if text.is_some() && !deleted.insert(*ordinal) {
                *text = None;
            }
        }
        if deleted.is_empty() {
            return Ok(texts);
        }
        let deleted: Vec<Ordinal> = deleted.into_iter().collect();
        writer.guarded(|writer| {
            writer.deletions = true;
            deleted
                .chunks(FRAME_DELETIONS)
                .try_for_each(|ordinals| writer.log.append_deleted(ordinals))?;
            writer.log.sync()
        })?;
        deleted.iter().for_each(|ordinal| state.tail.forget(*ordinal));
        generation.publish(state.with_deleted(state.deleted.clone().with(deleted)));
        Ok(texts)
    }
}

impl Writer {
    /// Writes the tail's ids that are not in the log yet, waits for the disk, and shows them to
    /// readers.
    fn log_tail(&mut self, tail: &Tail) -> Result<()> {
        let mut packed = Vec::new();
        loop {
            packed.clear();
            let count = tail.copy(self.logged, FRAME_BYTES, &mut packed);
            if count == 0 {
                break;
            }
            self.log.append_ids(tail.first + self.logged, count, &packed)?;
            self.logged += count;
        }
        self.log.sync()?;
        tail.show();
        Ok(())
    }
}

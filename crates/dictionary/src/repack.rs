//! Builds a new generation without the deleted users, while the old one is read and written.

use crate::builder::Builder;
use crate::deleted::Deleted;
use crate::generation::Generation;
use crate::renumbering::Renumbering;
use crate::space::{Generations, Space, Writer};
use crate::state::State;
use crate::{Dictionary, Error, Result};
use std::fs;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use taghouse_model::Ordinal;

/// A generation made of some of the current one's users, on disk, not yet current. Dropping it
/// removes it.
///
/// Its ordinals are the ranks of the kept users in the old order. The caller makes the index of it
/// by [`renumbering`](Self::renumbering), then calls [`finish`](Self::finish).
pub struct Repack<'a> {
    space: Arc<Space>,
    /// The generation that it was made from.
    number: u64,
    /// What that was at the beginning: ordinals from its length on are carried over at the end.
    begun: Arc<State>,
    end: Ordinal,
    builder: Builder,
    renumbering: Arc<Renumbering>,
    /// The folder is in the manifest, or was: it is not ours to remove.
    handed_over: bool,
    /// The dictionary's lock on the folder is held.
    dictionary: PhantomData<&'a Dictionary>,
}

/// What changed while a generation was repacked; see [`Repack::finish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The new generation's number.
    pub generation: u64,
    /// Users added meanwhile: the old ordinal and the new one.
    pub late: Vec<(Ordinal, Ordinal)>,
    /// New ordinals of kept users that were deleted meanwhile. No user has them.
    pub deleted: Vec<Ordinal>,
}

impl<'a> Repack<'a> {
    pub(crate) fn begin(space: Arc<Space>, kept: impl Iterator<Item = Ordinal>) -> Result<Self> {
        if space.repacking.swap(true, Ordering::AcqRel) {
            return Err(Error::Repacking { app: space.app.clone() });
        }
        let generations = space.generations();
        let begun = generations.current.state();
        let builder = match Builder::create(&space.folder, generations.number + 1, space.options) {
            Ok(builder) => builder,
            Err(e) => {
                space.repacking.store(false, Ordering::Release);
                return Err(e);
            }
        };
        let (number, end) = (generations.number, begun.len());
        let renumbering = Arc::default();
        let mut repack = Self {
            space,
            number,
            begun,
            end,
            builder,
            renumbering,
            handed_over: false,
            dictionary: PhantomData,
        };
        repack.keep(kept)?;
        repack.builder.merge_runs()?;
        Ok(repack)
    }

    fn keep(&mut self, kept: impl Iterator<Item = Ordinal>) -> Result<()> {
        let mut lowest = 0u64;
        let mut renumbering = Renumbering::default();
        for ordinal in kept {
            if u64::from(ordinal) < lowest {
                return Err(Error::KeptOrder { ordinal });
            }
            if ordinal >= self.end {
                // Those after it are not given either.
                break;
            }
            lowest = u64::from(ordinal) + 1;
            if !self.begun.deleted.contains(ordinal) {
                self.begun.with_packed(ordinal, |packed| self.builder.push(packed))?.transpose()?;
                renumbering.push(ordinal);
            }
        }
        self.renumbering = Arc::new(renumbering);
        Ok(())
    }

    /// The number that the new generation will have.
    pub fn generation(&self) -> u64 {
        self.number + 1
    }

    /// The new ordinals of the kept users, without those added meanwhile.
    pub fn renumbering(&self) -> &Arc<Renumbering> {
        &self.renumbering
    }

    /// Carries over the changes made meanwhile, calls `publish`, and makes the new generation the
    /// current one.
    ///
    /// `publish` is the moment at which the index of the new generation becomes the one that is
    /// read (the catalog's commit). Before and after it both generations can be read by
    /// [`Dictionary::view`]; writers wait. If it fails, the old generation stays and the new one
    /// is removed. If the process ends before the switch is on disk, the next one finds both and
    /// [`Dictionary::settle`] decides.
    ///
    /// # Errors
    /// Of `publish`; [`Error::Superseded`], [`Error::Unsettled`], [`Error::Corrupt`],
    /// [`Error::Unavailable`].
    pub fn finish<T, E: From<Error>>(
        mut self,
        publish: impl FnOnce(&Carried) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let space = Arc::clone(&self.space);
        let mut writer = space.write()?;
        let carried = self.prepare(&mut writer)?;
        match publish(&carried) {
            Ok(value) => {
                writer.decided = Some(carried.generation);
                writer.guarded(|writer| space.switch(writer))?;
                Ok(value)
            }
            Err(error) => {
                // If that fails too, the next write or opening does it; the caller's error is the
                // one to tell.
                let _ = writer.guarded(|writer| space.discard(writer));
                Err(error)
            }
        }
    }

    fn prepare(&mut self, writer: &mut Writer) -> Result<Carried> {
        let generations = self.space.generations();
        if generations.number != self.number {
            return Err(Error::Superseded {
                app: self.space.app.clone(),
                current: generations.number,
            });
        }
        let carried = self.carry(&generations.current.state())?;
        let (files, state, log) =
            self.builder.finish(Deleted::default().with(carried.deleted.iter().copied()))?;
        self.handed_over = true;
        writer.decided = Some(self.number);
        let prepared = Arc::new(Generation::new(self.builder.folder.clone(), state));
        writer.guarded(|writer| {
            writer.manifest.prepared = Some(files);
            writer.prepared_log = Some((log, false));
            writer.manifest.write(&self.space.folder)
        })?;
        let prepared = Some((carried.generation, prepared));
        self.space.publish(Generations { prepared, ..Generations::clone(&generations) });
        Ok(carried)
    }

    fn carry(&mut self, now: &State) -> Result<Carried> {
        let mut late = Vec::new();
        for old in (self.end..now.len()).filter(|old| !now.deleted.contains(*old)) {
            if let Some(new) =
                now.with_packed(old, |packed| self.builder.push(packed))?.transpose()?
            {
                late.push((old, new));
            }
        }
        let meanwhile = now.deleted.iter().filter(|old| !self.begun.deleted.contains(*old));
        let deleted = meanwhile.filter_map(|old| self.renumbering.new_ordinal(old)).collect();
        Ok(Carried { generation: self.number + 1, late, deleted })
    }
}

impl Drop for Repack<'_> {
    fn drop(&mut self) {
        if !self.handed_over {
            // What stays is removed by the next re-packing or opening.
            let _ = fs::remove_dir_all(&self.builder.folder);
        }
        self.space.repacking.store(false, Ordering::Release);
    }
}

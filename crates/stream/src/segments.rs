//! The values of all users as segments, by the index's bulk loader: what its memory does not hold
//! spills to a folder, and the segments are files there.

use crate::state::{AppState, ChangedTags};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use taghouse_disk::blocking;
use taghouse_index::{
    Feeder, LoadOptions, Loader, SHARD_BITS, SegmentBuilder, SegmentSource, TagId,
};
use taghouse_model::{AppId, Ordinal, Value, ValueType};
use taghouse_produce::ScratchFolder;

/// Users whose values are read at once for a segment.
pub(crate) const USERS_AT_ONCE: usize = 1 << 16;

/// About what the loader holds in memory; what is more spills.
const LOADER_BYTES: usize = 128 << 20;

/// Threads that encode segments. Answers go on meanwhile.
const THREADS: usize = 2;

/// Segments that are to be published.
pub(crate) struct Segments {
    /// By the tag's number.
    pub(crate) by_tag: BTreeMap<usize, SegmentSource>,
    /// Holds the files until they are published.
    pub(crate) folder: ScratchFolder,
}

impl Segments {
    /// Of these tags the values that these users, ascending, have by the states.
    ///
    /// # Errors
    /// Of the states, the index, and the folder `scratch`.
    pub(crate) async fn of(
        state: &mut AppState,
        everybody: &[Ordinal],
        tags: &[usize],
        scratch: &Path,
        app: &AppId,
    ) -> Result<Self> {
        let folder = ScratchFolder::below(scratch, app);
        let mut loading = Loading::new(&folder, state, everybody, tags)?;
        push_all(state, everybody, tags, &mut loading).await?;
        let Loading { loader, feeder, mut tags, .. } = loading;
        let target = folder.part("segments");
        let files = blocking(move || {
            feeder.finish()?;
            Ok::<_, Error>(loader.finish(&target)?)
        });
        let paths: Vec<PathBuf> = files.await?.into_iter().map(|file| file.path).collect();

        // The loader takes no numbers of more than 64 bits: such tags are built in memory.
        let is_wide = |tag: &LoadedTag| tag.is_wide;
        let wide: Vec<usize> =
            tags.iter().filter(|(_, tag)| is_wide(tag)).map(|(number, _)| *number).collect();
        tags.retain(|_, tag| !is_wide(tag));
        let files = tags.into_iter().filter_map(|(number, tag)| {
            Some((number, SegmentSource::File(paths.get(tag.place)?.clone())))
        });
        let mut by_tag: BTreeMap<usize, SegmentSource> = files.collect();
        if !wide.is_empty() {
            let mut building = Building::new(state, &wide);
            push_all(state, everybody, &wide, &mut building).await?;
            for (number, builder) in building.0 {
                by_tag.insert(number, builder.finish()?.into());
            }
        }
        Ok(Self { by_tag, folder })
    }
}

/// What takes values in.
trait Sink {
    fn push(&mut self, tag: usize, ordinal: Ordinal, value: &Value) -> Result<()>;
}

/// Shows `sink` all values of these tags, some users after others.
async fn push_all(
    state: &mut AppState,
    everybody: &[Ordinal],
    tags: &[usize],
    sink: &mut impl Sink,
) -> Result<()> {
    let wanted: BTreeSet<usize> = tags.iter().copied().collect();
    let with_states = state.plan.with_states();
    let any_derived = wanted.range(with_states..).next().is_some();
    for users in everybody.chunks(USERS_AT_ONCE) {
        for tag in wanted.range(..with_states) {
            let values = state.values(*tag, users).await?;
            for (ordinal, value) in users.iter().zip(values) {
                if let Some(value) = value {
                    sink.push(*tag, *ordinal, &value)?;
                }
            }
        }
        let derived = if any_derived { state.derive_all(users).await? } else { ChangedTags::new() };
        for (tag, changed) in derived {
            if !wanted.contains(&tag) {
                continue;
            }
            for changed in changed {
                if let Some(value) = &changed.now.value {
                    sink.push(tag, changed.now.ordinal, value)?;
                }
            }
        }
    }
    Ok(())
}

struct LoadedTag {
    id: TagId,
    /// Which of the loader's files it is.
    place: usize,
    value_type: ValueType,
    /// It has a number of more than 64 bits.
    is_wide: bool,
}

struct Loading {
    loader: Loader,
    feeder: Feeder,
    tags: BTreeMap<usize, LoadedTag>,
}

impl Loading {
    fn new(
        folder: &ScratchFolder,
        state: &AppState,
        everybody: &[Ordinal],
        tags: &[usize],
    ) -> Result<Self> {
        let last = everybody.last().copied().unwrap_or_default();
        let loader = Loader::new(LoadOptions {
            spill: folder.part("spill"),
            memory_bytes: LOADER_BYTES,
            shards: 0..(last >> SHARD_BITS) + 1,
            threads: THREADS,
        })?;
        let mut loaded = BTreeMap::new();
        for (place, number) in tags.iter().enumerate() {
            let tag = &state.plan.tags[*number];
            let id = loader.tag(tag.name.as_str(), tag.value_type)?;
            let tag = LoadedTag { id, place, value_type: tag.value_type, is_wide: false };
            loaded.insert(*number, tag);
        }
        let feeder = loader.feeder();
        Ok(Self { loader, feeder, tags: loaded })
    }
}

impl Sink for Loading {
    fn push(&mut self, tag: usize, ordinal: Ordinal, value: &Value) -> Result<()> {
        let Some(tag) = self.tags.get_mut(&tag).filter(|tag| !tag.is_wide) else { return Ok(()) };
        match self.feeder.push(tag.id, ordinal, value) {
            Err(taghouse_index::Error::Value { .. })
                if matches!(tag.value_type, ValueType::Decimal { .. }) =>
            {
                tag.is_wide = true;
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }
}

struct Building(BTreeMap<usize, SegmentBuilder>);

impl Building {
    fn new(state: &AppState, tags: &[usize]) -> Self {
        let builder = |tag: &usize| (*tag, SegmentBuilder::new(state.plan.tags[*tag].value_type));
        Self(tags.iter().map(builder).collect())
    }
}

impl Sink for Building {
    fn push(&mut self, tag: usize, ordinal: Ordinal, value: &Value) -> Result<()> {
        if let Some(builder) = self.0.get_mut(&tag) {
            builder.add(ordinal, value)?;
        }
        Ok(())
    }
}

//! The values of all users as segments, by the index's bulk loader: what its memory does not hold
//! spills to a folder, and the segments are files there.

use crate::draft::Draft;
use crate::hands::Hands;
use crate::state::AppState;
use crate::{Error, Result};
use std::collections::BTreeMap;
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
    by_tag: BTreeMap<usize, SegmentSource>,
    /// Tags with numbers of more than 64 bits, which the loader does not take: [`Segments::widen`].
    wide: Vec<usize>,
    /// Holds the files until they are published.
    _folder: ScratchFolder,
}

impl Segments {
    /// Of no tag.
    pub(crate) fn none(scratch: &Path, app: &AppId) -> Self {
        let folder = ScratchFolder::below(scratch, app);
        Self { by_tag: BTreeMap::new(), wide: Vec::new(), _folder: folder }
    }

    /// Of these tags the values that these users, ascending, have; they go with a draft of others.
    ///
    /// # Errors
    /// Of the states, the index, and the folder `scratch`.
    pub(crate) async fn of(
        state: &mut AppState,
        everybody: &[Ordinal],
        tags: &[usize],
        scratch: &Path,
        draft: &Draft,
    ) -> Result<Self> {
        let app = &state.plan.definitions.app.id.clone();
        if tags.is_empty() {
            return Ok(Self::none(scratch, app));
        }
        let mut loading = Loading::new(state, everybody.last().copied(), tags, scratch, app)?;
        for users in everybody.chunks(USERS_AT_ONCE) {
            loading.push(state, users, &draft.hands).await?;
        }
        let mut segments = loading.finish().await?;
        segments.widen(state, everybody, &draft.hands).await?;
        Ok(segments)
    }

    /// Builds the segments of tags that the loader does not take, in memory.
    ///
    /// # Errors
    /// Of the states and the index.
    pub(crate) async fn widen(
        &mut self,
        state: &mut AppState,
        everybody: &[Ordinal],
        hands: &Hands,
    ) -> Result<()> {
        let wide = std::mem::take(&mut self.wide);
        if wide.is_empty() {
            return Ok(());
        }
        let mut building = Building::new(state, &wide);
        for users in everybody.chunks(USERS_AT_ONCE) {
            push_all(state, users, &wide, hands, &mut building).await?;
        }
        for (number, builder) in building.0 {
            self.by_tag.insert(number, builder.finish()?.into());
        }
        Ok(())
    }

    /// The same of tags with other numbers; those without one go.
    pub(crate) fn numbered(mut self, number: impl Fn(usize) -> Option<usize>) -> Self {
        let of = |(tag, segment)| Some((number(tag)?, segment));
        self.by_tag = self.by_tag.into_iter().filter_map(of).collect();
        self.wide = self.wide.into_iter().filter_map(number).collect();
        self
    }

    /// The segments by the numbers of their tags. Their files are there as long as this is.
    pub(crate) fn take(&mut self) -> BTreeMap<usize, SegmentSource> {
        std::mem::take(&mut self.by_tag)
    }

    /// Whether they are of the tag.
    pub(crate) fn has(&self, tag: usize) -> bool {
        self.by_tag.contains_key(&tag) || self.wide.contains(&tag)
    }
}

/// What takes values in.
trait Sink {
    fn push(&mut self, tag: usize, ordinal: Ordinal, value: &Value) -> Result<()>;
}

/// Shows `sink` the values that some users, ascending, have of these tags.
async fn push_all(
    state: &mut AppState,
    users: &[Ordinal],
    tags: &[usize],
    hands: &Hands,
    sink: &mut impl Sink,
) -> Result<()> {
    for (tag, changed) in hands.now_of(state, users, tags).await? {
        for changed in changed {
            if let Some(value) = &changed.now.value {
                sink.push(tag, changed.now.ordinal, value)?;
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

/// Values on their way to segments.
pub(crate) struct Loading {
    loader: Loader,
    feeder: Feeder,
    numbers: Vec<usize>,
    tags: BTreeMap<usize, LoadedTag>,
    folder: ScratchFolder,
}

impl Loading {
    /// Of users up to an ordinal.
    ///
    /// # Errors
    /// Of the folder `scratch`.
    pub(crate) fn new(
        state: &AppState,
        last: Option<Ordinal>,
        tags: &[usize],
        scratch: &Path,
        app: &AppId,
    ) -> Result<Self> {
        let folder = ScratchFolder::below(scratch, app);
        let loader = Loader::new(LoadOptions {
            spill: folder.part("spill"),
            memory_bytes: LOADER_BYTES,
            shards: 0..(last.unwrap_or_default() >> SHARD_BITS) + 1,
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
        Ok(Self { loader, feeder, numbers: tags.to_vec(), tags: loaded, folder })
    }

    /// How many tags there are.
    pub(crate) fn tags(&self) -> usize {
        self.numbers.len()
    }

    /// Adds the values of some users.
    ///
    /// # Errors
    /// Of the states, the index, and the folder.
    pub(crate) async fn push(
        &mut self,
        state: &mut AppState,
        users: &[Ordinal],
        hands: &Hands,
    ) -> Result<()> {
        let numbers = std::mem::take(&mut self.numbers);
        let pushed = push_all(state, users, &numbers, hands, self).await;
        self.numbers = numbers;
        pushed
    }

    /// Writes the segments.
    ///
    /// # Errors
    /// Of the index, and the folder.
    pub(crate) async fn finish(self) -> Result<Segments> {
        let Self { loader, feeder, tags, folder, .. } = self;
        let target = folder.part("segments");
        let files = blocking(move || {
            feeder.finish()?;
            Ok::<_, Error>(loader.finish(&target)?)
        });
        let paths: Vec<PathBuf> = files.await?.into_iter().map(|file| file.path).collect();

        let is_wide = |tag: &LoadedTag| tag.is_wide;
        let wide = tags.iter().filter(|(_, tag)| is_wide(tag)).map(|(number, _)| *number).collect();
        let narrow = tags.into_iter().filter(|(_, tag)| !is_wide(tag));
        let file = |(number, tag): (usize, LoadedTag)| {
            Some((number, SegmentSource::File(paths.get(tag.place)?.clone())))
        };
        Ok(Segments { by_tag: narrow.filter_map(file).collect(), wide, _folder: folder })
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

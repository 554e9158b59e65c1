//! An index on disk that was published below a folder, and questions to it as a user writes them.

use crate::crowd_spec::Set;
use anyhow::Context;
use object_store::local::LocalFileSystem;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{
    Bitmap, Feeder, Index, LoadOptions, LoadedSegment, Loader, Publication, Query, SegmentSource,
    Snapshot, TagId, TagPublication,
};
use taghouse_model::{AppId, Name, ValueType};

/// What a loader may hold in memory; the rest spills.
pub(crate) const LOADER_BYTES: usize = 7 << 29;

/// Points pushed at a time.
const BATCH: usize = 1 << 16;

/// The app that all measurements publish for.
pub(crate) fn app() -> anyhow::Result<AppId> {
    Ok(AppId::new("bench")?)
}

/// The index of a folder; makes the folder.
pub(crate) async fn index(folder: &Path) -> anyhow::Result<Index> {
    let objects = folder.join("objects");
    std::fs::create_dir_all(&objects)
        .with_context(|| format!("cannot make {}", objects.display()))?;
    let catalog = Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await?);
    Ok(Index::new(Arc::new(LocalFileSystem::new_with_prefix(&objects)?), catalog).local(objects))
}

/// Publish what the loader wrote, of all `users` users.
pub(crate) async fn publish_all(
    index: &Index,
    users: u32,
    value_type: ValueType,
    segments: Vec<LoadedSegment>,
) -> anyhow::Result<()> {
    let users = if users == 0 { Bitmap::new() } else { Bitmap::from_range(0..=users - 1) };
    let tags = segments.into_iter().map(|loaded| {
        let (name, definition) = (Name::new(&loaded.name)?, serde_json::Value::Null);
        Ok(TagPublication {
            name,
            value_type,
            as_of_ms: 0,
            definition,
            segment: SegmentSource::File(loaded.path),
            flushed_through: None,
        })
    });
    let tags = tags.collect::<anyhow::Result<_>>()?;
    index
        .publish(&app()?, Publication { generation: 1, users, tags, drop: Vec::new() }, Vec::new())
        .await?;
    Ok(())
}

/// A loader for tags of `users` users, which spills below a folder.
pub(crate) fn loader(folder: &Path, users: u32) -> anyhow::Result<Loader> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    Ok(Loader::new(LoadOptions {
        spill: folder.join("spill"),
        memory_bytes: LOADER_BYTES,
        shards: 0..users.div_ceil(1 << 20),
        threads,
    })?)
}

/// Gives the users of a set the value true.
pub(crate) fn feed_bool(feeder: &mut Feeder, tag: TagId, set: Set) -> anyhow::Result<()> {
    let mut ordinals = Vec::with_capacity(BATCH);
    let mut users = set.users().peekable();
    while users.peek().is_some() {
        ordinals.clear();
        ordinals.extend(users.by_ref().take(BATCH));
        feeder.push_codes(tag, &ordinals, 1)?;
    }
    Ok(())
}

/// A cut over all that is published, and the types of its tags.
pub(crate) struct Published {
    pub(crate) snapshot: Arc<Snapshot>,
    types: BTreeMap<Name, ValueType>,
}

impl Published {
    /// What lies in a folder.
    pub(crate) async fn open(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self::of(
            index(folder).await?.snapshot(&app()?).await?.context("nothing was published")?,
        ))
    }

    pub(crate) fn of(snapshot: Arc<Snapshot>) -> Self {
        let types = snapshot.types();
        Self { snapshot, types }
    }

    /// Sets as bool tags of their names, published again below a folder.
    pub(crate) async fn bools(
        folder: &Path,
        users: u32,
        sets: &BTreeMap<String, Set>,
    ) -> anyhow::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)
                .with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        let loader = loader(folder, users)?;
        let mut feeder = loader.feeder();
        for (name, set) in sets {
            feed_bool(&mut feeder, loader.tag(name.as_str(), ValueType::Bool)?, *set)?;
        }
        feeder.finish()?;
        let segments = loader.finish(&folder.join("loaded"))?;
        publish_all(&index(folder).await?, users, ValueType::Bool, segments).await?;
        Self::open(folder).await
    }

    /// An expression, ready to be counted.
    pub(crate) fn query(&self, text: &str) -> anyhow::Result<Query> {
        let types = |name: &str| self.types.get(name).copied();
        let predicate = taghouse_rules::parse_predicate(text)?.check(
            &types,
            &|_| false,
            &jiff::tz::TimeZone::UTC,
        )?;
        Ok(self.snapshot.evaluate(&predicate, &|_| None)?)
    }

    /// From the text to the number of users.
    pub(crate) fn count(&self, text: &str) -> anyhow::Result<u64> {
        Ok(self.query(text)?.count()?)
    }
}

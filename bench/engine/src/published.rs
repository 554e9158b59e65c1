//! An index on disk that was published below a folder, and questions to it as a user writes them.

use crate::crowd_spec::Set;
use anyhow::Context;
use object_store::local::LocalFileSystem;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{Bitmap, Index, Publication, Query, SegmentBuilder, Snapshot, TagPublication};
use taghouse_model::{AppId, Name, Value, ValueType};

/// The app that all measurements publish for.
pub(crate) fn app() -> anyhow::Result<AppId> {
    Ok(AppId::new("bench")?)
}

/// The index of a folder; makes the folder.
pub(crate) async fn index(folder: &Path) -> anyhow::Result<Index> {
    let objects = folder.join("objects");
    std::fs::create_dir_all(&objects).with_context(|| format!("cannot make {}", objects.display()))?;
    let catalog = Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await?);
    Ok(Index::new(Arc::new(LocalFileSystem::new_with_prefix(&objects)?), catalog).local(objects))
}

/// Publish one more tag, of all `users` users.
pub(crate) async fn publish(index: &Index, users: u32, name: &str, value_type: ValueType, segment: Vec<u8>) -> anyhow::Result<()> {
    let users = if users == 0 { Bitmap::new() } else { Bitmap::from_range(0..=users - 1) };
    let tag = TagPublication { name: Name::new(name)?, value_type, as_of_ms: 0, definition: serde_json::Value::Null, segment };
    index.publish(&app()?, Publication { generation: 1, users, tags: vec![tag], drop: Vec::new() }, Vec::new()).await?;
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
        let snapshot = index(folder).await?.snapshot(&app()?).await?.context("nothing was published")?;
        let types = snapshot.types();
        Ok(Self { snapshot, types })
    }

    /// Sets as bool tags of their names, published anew below a folder.
    pub(crate) async fn bools(folder: &Path, users: u32, sets: &BTreeMap<String, Set>) -> anyhow::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        let index = index(folder).await?;
        for (name, set) in sets {
            let members = Bitmap::from_sorted_iter(set.users());
            let segment = SegmentBuilder::from_values(ValueType::Bool, vec![(Value::Bool(true), members)])?;
            publish(&index, users, name, ValueType::Bool, segment).await?;
        }
        Self::open(folder).await
    }

    /// An expression, ready to be counted.
    pub(crate) fn query(&self, text: &str) -> anyhow::Result<Query> {
        let types = |name: &str| self.types.get(name).copied();
        let predicate = taghouse_rules::parse_predicate(text)?.check(&types, &|_| false, &jiff::tz::TimeZone::UTC)?;
        Ok(self.snapshot.evaluate(&predicate, &|_| None)?)
    }

    /// From the text to the number of users.
    pub(crate) fn count(&self, text: &str) -> anyhow::Result<u64> {
        Ok(self.query(text)?.count()?)
    }
}

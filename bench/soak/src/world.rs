//! The system under test: an index over a catalog, an object store and a log of live changes, with
//! a dictionary or with ordinals that are far apart.

use crate::counts::Counts;
use anyhow::{Context, ensure};
use object_store::memory::InMemory;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::SqliteCatalog;
use taghouse_dictionary::Dictionary;
use taghouse_index::{Index, LiveOptions, Publication, SegmentBuilder, Snapshot, TagPublication};
use taghouse_model::{AppId, Name, Ordinal, ValueType};
use taghouse_testkit::Dice;
use taghouse_testkit::{CROWDS, ReferenceModel, TagModel, ValuesByTag, ValuesByUser};
use taghouse_testkit::{TYPES, value_or_end as value};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Distances of ordinals without a dictionary: in one container, in several, in several shards.
const STEPS: [u32; 4] = [1, 11, 3_001, 40_009];

pub(crate) struct World<'a> {
    pub(crate) model: ReferenceModel,
    pub(crate) counts: Counts,
    pub(crate) app: AppId,
    pub(crate) generation: u64,
    /// An earlier moment that is still read.
    pub(crate) held: Option<Held>,
    /// Users are drawn from this many people.
    people: u64,
    pub(crate) ids: Ids,
    store: Arc<InMemory>,
    catalog: Arc<SqliteCatalog>,
    index: Option<Index>,
    folder: TempDir,
    runtime: &'a Runtime,
}

/// A moment: a snapshot, and what it must contain whatever happens afterwards.
pub(crate) struct Held {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) model: ReferenceModel,
    pub(crate) columns: ValuesByTag,
}

/// Where ordinals come from.
pub(crate) enum Ids {
    Apart { step: u32 },
    Dictionary { open: Option<Dictionary>, given: BTreeMap<String, Ordinal> },
}

impl<'a> World<'a> {
    pub(crate) fn new(
        dice: &mut Dice,
        folder: &Path,
        runtime: &'a Runtime,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(folder)?;
        let catalog =
            Arc::new(runtime.block_on(SqliteCatalog::open(&folder.path().join("catalog.db")))?);
        let app = AppId::new("shop")?;
        let ids = match dice.below(STEPS.len() as u64 + 2) as usize {
            at if at < STEPS.len() => Ids::Apart { step: STEPS[at] },
            _ => Ids::Dictionary { open: None, given: BTreeMap::new() },
        };
        let people = [3, 30, 120, 400][dice.below(4) as usize];
        let model = ReferenceModel::default();
        let (counts, store) = (Counts::default(), Arc::new(InMemory::new()));
        let mut world = Self {
            model,
            counts,
            app,
            generation: 1,
            held: None,
            people,
            ids,
            store,
            catalog,
            index: None,
            folder,
            runtime,
        };
        world.open()?;
        let mut tags = Vec::new();
        for (number, ty) in TYPES.into_iter().enumerate() {
            for values in [5, 400] {
                let name = Name::new(&format!("t{number}_{values}"))?;
                world.model.tags.insert(name.clone(), TagModel::new(ty, values));
                tags.push(name);
            }
        }
        world.publish_random(&tags, false, dice)?;
        world.draw_crowds(dice);
        Ok(world)
    }

    /// Reopens everything, as after a restart of the process.
    pub(crate) fn open(&mut self) -> anyhow::Result<()> {
        (self.index, self.held) = (None, None);
        if let Ids::Dictionary { open, .. } = &mut self.ids {
            *open = None;
            *open = Some(Dictionary::open(&self.folder.path().join("dictionary"))?);
        }
        // Nothing happens by itself, so that a history follows from its seed; files are small, so
        // that there are several.
        let long = Duration::from_secs(24 * 3600);
        let (tick, file_bytes, checkpoint_changes) = (long, 4_096, u64::MAX);
        let options = LiveOptions {
            tick,
            file_bytes,
            checkpoint_changes,
            flush_changes: 20,
            flush_share: 4,
            limit_changes: u64::MAX,
            limit_text_bytes: u64::MAX,
            flush_every: None,
        };
        let index = Index::new(self.store.clone(), self.catalog.clone());
        self.index = Some(index.with_live(self.folder.path().join("live"), options));
        Ok(())
    }

    pub(crate) fn index(&self) -> anyhow::Result<&Index> {
        self.index.as_ref().context("the index is open")
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Makes all live changes visible. Returns the position of the last.
    pub(crate) fn tick(&self) -> anyhow::Result<u64> {
        Ok(self.wait(self.index()?.position(&self.app))?)
    }

    pub(crate) fn snapshot(&self) -> anyhow::Result<Arc<Snapshot>> {
        self.wait(self.index()?.snapshot(&self.app))?.context("something is published")
    }

    /// The ordinal of one of the people: of an old user or of a new one.
    pub(crate) fn person(&mut self, dice: &mut Dice) -> anyhow::Result<Ordinal> {
        let number = dice.below(self.people) as u32;
        match &mut self.ids {
            // Around the end of a container and, with large steps, of shards.
            Ids::Apart { step } => Ok((1 << 16) - 9 + number * *step),
            Ids::Dictionary { open, given } => {
                let id = id_of(number);
                let dictionary = open.as_ref().context("the dictionary is open")?;
                let ordinal =
                    *dictionary.assign(&self.app, &[&id])?.first().context("an ordinal an id")?;
                let known = given.entry(id).or_insert(ordinal);
                ensure!(*known == ordinal, "an id had ordinal {known} and has {ordinal}");
                Ok(ordinal)
            }
        }
    }

    /// Publishes new values of these tags; with `subsume`, with the live changes up to some point
    /// among them.
    pub(crate) fn publish_random(
        &mut self,
        names: &[Name],
        subsume: bool,
        dice: &mut Dice,
    ) -> anyhow::Result<()> {
        let mut tags = Vec::new();
        let mut columns = Vec::new();
        for name in names {
            let column = self.column(name, dice)?;
            let value_type = self.model.tags.get(name).context("a known tag")?.value_type;
            let flushed_through =
                if subsume { dice.pick(&self.model.cuts(name)).copied() } else { None };
            tags.push(TagPublication {
                flushed_through,
                ..publication(name, value_type, &column)?
            });
            columns.push((name, column, flushed_through));
        }
        // Users without any value.
        let mut users: BTreeSet<Ordinal> =
            columns.iter().flat_map(|(_, column, _)| column.keys().copied()).collect();
        for _ in 0..dice.below(4) {
            users.insert(self.person(dice)?);
        }
        let publication = Publication {
            generation: self.generation,
            users: users.iter().copied().collect(),
            tags,
            drop: Vec::new(),
        };
        self.wait(self.index()?.publish(&self.app, publication, Vec::new()))?;
        self.model.users.extend(users.difference(&self.model.deleted));
        columns.into_iter().for_each(|(name, column, flushed_through)| {
            self.model.publish(name, column, flushed_through)
        });
        Ok(())
    }

    /// Random values of one tag, for all, many, few or no users.
    fn column(&mut self, name: &Name, dice: &mut Dice) -> anyhow::Result<ValuesByUser> {
        let (ty, values) = self
            .model
            .tags
            .get(name)
            .map(|tag| (tag.value_type, tag.values))
            .context("a known tag")?;
        let share = [4, 3, 1, 0][dice.below(4) as usize];
        let mut column = ValuesByUser::new();
        for _ in 0..self.people * share / 4 {
            column.insert(self.person(dice)?, value(ty, values, dice));
        }
        Ok(column)
    }

    /// Other crowds, including members who do not exist.
    pub(crate) fn draw_crowds(&mut self, dice: &mut Dice) {
        for (name, share) in CROWDS.into_iter().zip([3, 9]) {
            let members = self.model.users.iter().copied().filter(|_| dice.below(10) < share);
            let members = Arc::new(members.chain([3, 5_000_000]).collect());
            self.model.crowds.insert(name, members);
        }
    }

    /// Publishes a tag of another type than it had before.
    pub(crate) fn retype(&mut self, name: &Name, dice: &mut Dice) -> anyhow::Result<()> {
        let tag = self.model.tags.get_mut(name).context("a known tag")?;
        let others: Vec<ValueType> = TYPES.into_iter().filter(|ty| *ty != tag.value_type).collect();
        tag.value_type = *dice.pick(&others).context("other types")?;
        let (value_type, column) = (tag.value_type, self.column(name, dice)?);
        let tags = vec![publication(name, value_type, &column)?];
        let publication = Publication {
            generation: self.generation,
            users: column.keys().copied().collect(),
            tags,
            drop: Vec::new(),
        };
        self.wait(self.index()?.publish(&self.app, publication, Vec::new()))?;
        self.model.retype(name, value_type, column);
        Ok(())
    }

    /// Checks that every id has its ordinal and every ordinal its id.
    pub(crate) fn check_ids(&self) -> anyhow::Result<()> {
        let Ids::Dictionary { open, given } = &self.ids else { return Ok(()) };
        let dictionary = open.as_ref().context("the dictionary is open")?;
        let ids: Vec<&str> = given.keys().map(String::as_str).chain(["nobody"]).collect();
        let found = dictionary.lookup(&self.app, &ids)?;
        let expected: Vec<Option<Ordinal>> =
            given.values().copied().map(Some).chain([None]).collect();
        ensure!(
            found == expected,
            "the dictionary gives other ordinals: {found:?} instead of {expected:?}"
        );
        let ordinals: Vec<Ordinal> = given.values().copied().chain([u32::MAX]).collect();
        let found = dictionary.resolve(&self.app, &ordinals)?;
        let expected: Vec<Option<String>> = given.keys().cloned().map(Some).chain([None]).collect();
        ensure!(
            found == expected,
            "the dictionary gives other ids: {found:?} instead of {expected:?}"
        );
        Ok(())
    }
}

fn publication(
    name: &Name,
    value_type: ValueType,
    column: &ValuesByUser,
) -> anyhow::Result<TagPublication> {
    let mut builder = SegmentBuilder::new(value_type);
    column.iter().try_for_each(|(user, value)| builder.add(*user, value))?;
    let segment = builder.finish()?;
    Ok(TagPublication {
        name: name.clone(),
        value_type,
        as_of_ms: 0,
        definition: json!({}),
        segment: segment.into(),
        flushed_through: None,
    })
}

/// Ids of the forms that outsiders have: numbers, UUIDs, e-mail addresses, any text.
fn id_of(number: u32) -> String {
    match number % 4 {
        0 => number.to_string(),
        1 => format!("{number:08x}-1234-4abc-8def-0123456789ab"),
        2 => format!("person.{number}@example.com"),
        _ => format!("ü {number}"),
    }
}

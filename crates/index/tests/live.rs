//! Random histories of live changes, publications, flushes, deletions and reopening, against a
//! reference model that keeps every user's value.
#![allow(clippy::unwrap_used, clippy::panic)]

mod history;
mod renaming;

use history::{point, predicate};
use object_store::memory::InMemory;

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{
    Bitmap, ChangeColumn, Changes, Error, Index, LiveOptions, Op, Pin, Publication, SegmentBuilder,
    Snapshot, TagChange, TagChanges, TagPublication,
};
use taghouse_model::{AppId, Name, Value, ValueType};
use taghouse_testkit::{Dice, ReferenceModel, TYPES, TagModel, ValuesByUser as Values, value};

/// Nothing happens by itself: what was logged becomes visible when a test asks for the log's
/// position.
fn by_hand() -> LiveOptions {
    let long = Duration::from_secs(3600);
    LiveOptions {
        tick: long,
        file_bytes: 4096,
        checkpoint_changes: u64::MAX,
        flush_every: None,
        ..LiveOptions::default()
    }
}

struct House {
    store: Arc<InMemory>,
    catalog: Arc<SqliteCatalog>,
    folder: tempfile::TempDir,
    index: Option<Index>,
    app: AppId,
    generation: u64,
    /// As of a batch that goes on.
    pin: Option<Pin>,
    model: ReferenceModel,
    crowd: Arc<Bitmap>,
}

impl House {
    async fn new(tags: &[(&str, ValueType, u64)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
        let crowd = Arc::new((0..4_000).filter(|user| user % 3 == 0).chain([5_000_000]).collect());
        let (store, app, model) =
            (Arc::new(InMemory::new()), AppId::new("shop").unwrap(), ReferenceModel::default());
        let mut house = Self {
            store,
            catalog,
            folder,
            index: None,
            app,
            generation: 1,
            pin: None,
            model,
            crowd,
        };
        house.open();
        for (name, value_type, values) in tags {
            house
                .index()
                .declare(
                    &house.app,
                    1,
                    Name::new(name).unwrap(),
                    *value_type,
                    5,
                    serde_json::json!({}),
                )
                .await
                .unwrap();
            house.model.tags.insert(Name::new(name).unwrap(), TagModel::new(*value_type, *values));
        }
        house
    }

    /// Opens the index again, as after the end of the process.
    fn open(&mut self) {
        (self.index, self.pin) = (None, None);
        let index = Index::new(self.store.clone(), self.catalog.clone());
        self.index = Some(index.with_live(self.folder.path().join("live"), by_hand()));
    }

    fn index(&self) -> &Index {
        self.index.as_ref().unwrap()
    }

    async fn snapshot(&self) -> Arc<Snapshot> {
        self.index().position(&self.app).await.unwrap();
        self.index().snapshot(&self.app).await.unwrap().unwrap()
    }

    async fn change(&mut self, users: Vec<u32>, points: Vec<TagChange>, in_columns: bool) {
        // Points that stand in a column beside their like are the same changes.
        let columns =
            if in_columns { points.iter().filter_map(column_of).collect() } else { Vec::new() };
        let points = if columns.is_empty() {
            points
        } else {
            points.into_iter().filter(|point| column_of(point).is_some()).collect()
        };
        let alone = if columns.is_empty() { points.clone() } else { Vec::new() };
        let changes =
            Changes { generation: self.generation, users: users.clone(), columns, points: alone };
        let position = self.index().change(&self.app, changes).await.unwrap();
        self.model.change(position, &users, points);
    }

    async fn delete(&mut self, users: &[u32]) {
        let before = self.model.columns();
        let receipt = self.index().delete_users(&self.app, self.generation, users).await.unwrap();
        let held = before.iter().flat_map(|(name, column)| {
            users
                .iter()
                .filter_map(move |user| Some((name.clone(), *user, column.get(user)?.clone())))
        });
        assert_eq!(receipt.values, held.collect::<Vec<_>>());
        self.model.delete(receipt.position, users);
    }

    async fn publish(
        &mut self,
        tag: &str,
        column: Values,
        flushed_through: Option<u64>,
    ) -> Result<u64, Error> {
        let value_type = self.model.tags[tag].value_type;
        let publication = publication(self.generation, tag, value_type, &column, flushed_through);
        let published = self.index().publish(&self.app, publication, vec![]).await?;
        let name = Name::new(tag).unwrap();
        self.model.publish(&name, column, flushed_through);
        let held =
            self.index().snapshot(&self.app).await?.unwrap().info(tag).unwrap().flushed_through;
        // What was flushed since the position that the publication holds is part of its segment
        // again.
        let tag = self.model.tags.get_mut(&name).unwrap();
        tag.flush(held.max(tag.floor));
        Ok(published)
    }

    async fn check(&self, dice: &mut Dice) -> Result<(), TestCaseError> {
        let snapshot = self.snapshot().await;
        let users: Vec<u32> = self.model.users.iter().copied().collect();
        prop_assert_eq!(snapshot.users().iter().collect::<Vec<_>>(), users.clone());
        prop_assert_eq!(snapshot.position(), self.model.end);
        let columns = self.model.columns();
        for (name, column) in &columns {
            check_tag(&snapshot, name.as_str(), column, dice)?;
        }
        for depth in (0..6).map(|n| n % 3) {
            let predicate = predicate(&self.model, depth, dice);
            let holds = |user: &u32| {
                predicate.matches(&|name| match name.strip_prefix("crowd:") {
                    Some(_) => Some(Value::Bool(self.crowd.contains(*user))),
                    None => columns[name].get(user).cloned(),
                })
            };
            let expected: Bitmap = users.iter().copied().filter(holds).collect();
            let query = snapshot.evaluate(&predicate, &|_| Some(self.crowd.clone())).unwrap();
            prop_assert_eq!(
                query.bitmap().unwrap().iter().collect::<Vec<_>>(),
                expected.iter().collect::<Vec<_>>(),
                "{:?}",
                &predicate
            );
            prop_assert_eq!(query.count().unwrap(), expected.len(), "{:?}", &predicate);
            for user in users.iter().chain(&self.model.deleted).copied().chain([3, 5_000_000]) {
                prop_assert_eq!(
                    query.contains(user).unwrap(),
                    expected.contains(user),
                    "user {} of {:?}",
                    user,
                    &predicate
                );
            }
        }
        Ok(())
    }
}

fn check_tag(
    snapshot: &Snapshot,
    name: &str,
    column: &Values,
    dice: &mut Dice,
) -> Result<(), TestCaseError> {
    let view = snapshot.tag(name).unwrap().unwrap();
    prop_assert_eq!(view.users().unwrap(), column.len() as u64, "{}", name);
    let existence = view.existence().unwrap().to_bitmap().unwrap();
    prop_assert_eq!(
        existence.iter().collect::<Vec<_>>(),
        column.keys().copied().collect::<Vec<_>>(),
        "{}",
        name
    );
    for user in snapshot.users().iter().chain([3, 5_000_000]) {
        prop_assert_eq!(
            view.value_of(user).unwrap(),
            column.get(&user).cloned(),
            "{} of {}",
            name,
            user
        );
    }
    let mut members: BTreeMap<Value, Vec<u32>> = BTreeMap::new();
    for (user, value) in column {
        match value {
            Value::Set(set) => set
                .iter()
                .for_each(|text| members.entry(Value::Text(text.clone())).or_default().push(*user)),
            other => members.entry(other.clone()).or_default().push(*user),
        }
    }
    let counts: Vec<(Value, u64)> =
        members.iter().map(|(value, users)| (value.clone(), users.len() as u64)).collect();
    let values: Vec<(Value, u64)> =
        view.values().unwrap().into_iter().filter(|(_, count)| *count > 0).collect();
    prop_assert_eq!(values, counts, "{}", name);
    if !view.value_type().is_number() {
        for (value, users) in view.sets().unwrap() {
            let found: Vec<u32> = users.to_bitmap().unwrap().iter().collect();
            prop_assert_eq!(
                &found,
                &members.get(&value).cloned().unwrap_or_default(),
                "{} {}",
                name,
                value
            );
            let again = view.users_of(&value).unwrap().unwrap();
            prop_assert_eq!(again.iter().collect::<Vec<_>>(), found);
        }
        return Ok(());
    }
    let within: Bitmap = snapshot.users().iter().filter(|_| dice.below(3) > 0).collect();
    for within in [None, Some(&within)] {
        let chosen: Vec<&Value> = column
            .iter()
            .filter(|(user, _)| within.is_none_or(|set| set.contains(**user)))
            .map(|(_, v)| v)
            .collect();
        let bounds = chosen
            .iter()
            .min()
            .zip(chosen.iter().max())
            .map(|(low, high)| ((*low).clone(), (*high).clone()));
        prop_assert_eq!(view.bounds(within).unwrap(), bounds);
        let units = |value: &Value| match value {
            Value::Int(units) => i128::from(*units),
            Value::Decimal(decimal) => {
                let mut decimal = *decimal;
                decimal.rescale(2);
                decimal.mantissa()
            }
            _ => 0,
        };
        let sum = (matches!(view.value_type(), ValueType::Int | ValueType::Decimal { .. })
            && !chosen.is_empty())
        .then(|| chosen.iter().map(|value| units(value)).sum::<i128>());
        prop_assert_eq!(view.sum(within).unwrap(), sum, "{}", name);
    }
    Ok(())
}

/// The same change as a column of one.
fn column_of(point: &TagChange) -> Option<TagChanges> {
    let one = |text: &Arc<str>| (vec![text.clone(), "another".into()], vec![0]);
    let column = match &point.op {
        Op::Unset => ChangeColumn::Unset,
        Op::Set(Value::Bool(value)) => ChangeColumn::Numbers(vec![i64::from(*value)]),
        Op::Set(Value::Int(number)) => ChangeColumn::Numbers(vec![*number]),
        Op::Set(Value::Date(days)) => ChangeColumn::Numbers(vec![i64::from(*days)]),
        Op::Set(Value::Time(ms)) => ChangeColumn::Numbers(vec![*ms]),
        Op::Set(Value::Text(text)) => {
            let (texts, codes) = one(text);
            ChangeColumn::Texts { texts, codes }
        }
        Op::Add(text) => {
            let (texts, codes) = one(text);
            ChangeColumn::Add { texts, codes }
        }
        Op::Remove(text) => {
            let (texts, codes) = one(text);
            ChangeColumn::Remove { texts, codes }
        }
        Op::Set(Value::Decimal(_) | Value::Set(_)) => return None,
    };
    Some(TagChanges { tag: point.tag.clone(), ordinals: vec![point.ordinal], column })
}

fn publication(
    generation: u64,
    tag: &str,
    value_type: ValueType,
    column: &Values,
    flushed_through: Option<u64>,
) -> Publication {
    let mut builder = SegmentBuilder::new(value_type);
    column.iter().for_each(|(user, value)| builder.add(*user, value).unwrap());
    let (name, definition) = (Name::new(tag).unwrap(), serde_json::json!({}));
    let tag = TagPublication {
        name,
        value_type,
        as_of_ms: 7,
        definition,
        segment: builder.finish().unwrap().into(),
        flushed_through,
    };
    Publication {
        generation,
        users: column.keys().copied().collect(),
        tags: vec![tag],
        drop: vec![],
    }
}

async fn live_through(seed: u64, step: u32, steps: usize) -> Result<(), TestCaseError> {
    let mut dice = Dice::new(seed);
    let names: Vec<(String, ValueType, u64)> =
        (0..TYPES.len()).map(|at| (format!("t{at}"), TYPES[at], [3, 40][at % 2])).collect();
    let tags: Vec<(&str, ValueType, u64)> =
        names.iter().map(|(name, ty, values)| (name.as_str(), *ty, *values)).collect();
    let mut house = House::new(&tags).await;
    let user = |dice: &mut Dice| (1 << 16) - 9 + dice.below(60) as u32 * step;
    for _ in 0..steps {
        match dice.below(16) {
            0..7 => {
                let users = (0..dice.below(2)).map(|_| user(&mut dice)).collect();
                let points = (0..1 + dice.below(40))
                    .map(|_| point(&house.model, user(&mut dice), &mut dice))
                    .collect();
                let in_columns = dice.below(3) == 0;
                house.change(users, points, in_columns).await;
            }
            7 if dice.below(3) == 0 => {
                house.pin = Some(house.index().pin(&house.app).await.unwrap())
            }
            7 => {
                house.index().position(&house.app).await.unwrap();
            }
            8 => {
                house.index().flush(&house.app).await.unwrap();
                let snapshot = house.snapshot().await;
                for (name, tag) in &mut house.model.tags {
                    tag.flush(snapshot.info(name.as_str()).unwrap().flushed_through);
                }
            }
            9 | 10 => {
                let (name, value_type, values) = &names[dice.below(names.len() as u64) as usize];
                let column = (0..dice.below(50))
                    .map(|_| (user(&mut dice), value(*value_type, *values, &mut dice)))
                    .collect();
                let pinned = house.pin.as_ref().map(Pin::position);
                let flushed_through = match dice.below(4) {
                    0 => dice.pick(&house.model.cuts(&Name::new(name).unwrap())).copied(),
                    // What was flushed since the pin comes back on top.
                    1 if pinned.is_some() => pinned,
                    2 => dice.pick(&house.model.cuts(&Name::new(name).unwrap())).copied(),
                    _ => None,
                };
                house.publish(name, column, flushed_through).await.unwrap();
            }
            11 => {
                let users: Vec<u32> = (0..1 + dice.below(2))
                    .map(|_| user(&mut dice))
                    .collect::<std::collections::BTreeSet<_>>()
                    .into_iter()
                    .collect();
                house.delete(&users).await;
            }
            12 => house.index().checkpoint(&house.app).await.unwrap(),
            13 => house.open(),
            14 if dice.below(3) == 0 => {
                // Every other user stays, in order.
                let stay: Vec<u32> = house.model.users.iter().copied().step_by(2).collect();
                let staying =
                    move |user: u32| stay.binary_search(&user).ok().map(|place| place as u32 * 3);
                (house.generation, house.pin) = (house.generation + 1, None);
                house.model.rename(&staying);
                renaming::remap(house.index(), &house.app, house.generation, Arc::new(staying))
                    .await
                    .unwrap();
                let end = house.index().position(&house.app).await.unwrap();
                house.model.restart(end);
            }
            _ => house.check(&mut dice).await?,
        }
    }
    house.check(&mut dice).await?;
    house.open();
    house.check(&mut dice).await
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn live_changes_compose_with_everything(seed in any::<u64>(), step in prop::sample::select(vec![1, 11, 40_009]), steps in 4..40_usize) {
        runtime().block_on(live_through(seed, step, steps))?;
    }
}

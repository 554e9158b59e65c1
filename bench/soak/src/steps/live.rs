//! Live changes, their flushing, and the deletion of users.

use crate::world::{Ids, World};
use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_index::{ChangeColumn, Changes, Op, TagChange, TagChanges};
use taghouse_model::{Name, Ordinal, Value, ValueType};
use taghouse_testkit::Dice;
use taghouse_testkit::{of_units, value_or_end as value};

/// Single changes of random tags, made together.
pub(super) fn change(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let mut points = Vec::new();
    for _ in 0..1 + dice.below(40) {
        let ordinal = world.person(dice)?;
        let (name, ty, values) = tag(world, dice)?;
        points.push(TagChange { tag: name, ordinal, op: op(ty, values, dice) });
    }
    send(world, Vec::new(), points, dice)
}

/// Many changes of a tag or two in columns, with single ones behind them.
pub(super) fn change_columns(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let mut columns = Vec::new();
    for _ in 0..1 + dice.below(2) {
        let (name, ty, count) = tag(world, dice)?;
        let ordinals = (0..1 + dice.below(60))
            .map(|_| world.person(dice))
            .collect::<anyhow::Result<Vec<Ordinal>>>()?;
        let texts: Vec<Arc<str>> = (0..3).map(|_| text(count, dice)).collect();
        let codes = ordinals.iter().map(|_| dice.below(3) as u32).collect();
        let column = match (ty, dice.below(8)) {
            (_, 0) => ChangeColumn::Unset,
            (ValueType::Set, 1..5) => ChangeColumn::Add { texts, codes },
            (ValueType::Set, _) => ChangeColumn::Remove { texts, codes },
            (ValueType::Text, _) => ChangeColumn::Texts { texts, codes },
            _ => ChangeColumn::Numbers(ordinals.iter().map(|_| units(ty, count, dice)).collect()),
        };
        columns.push(TagChanges { tag: name, ordinals, column });
    }
    let mut points = Vec::new();
    for _ in 0..dice.below(4) {
        let ordinal = world.person(dice)?;
        let (name, ty, values) = tag(world, dice)?;
        points.push(TagChange { tag: name, ordinal, op: op(ty, values, dice) });
    }
    send(world, columns, points, dice)
}

fn send(
    world: &mut World<'_>,
    columns: Vec<TagChanges>,
    points: Vec<TagChange>,
    dice: &mut Dice,
) -> anyhow::Result<()> {
    let users =
        (0..dice.below(3)).map(|_| world.person(dice)).collect::<anyhow::Result<Vec<Ordinal>>>()?;
    let mut all = Vec::new();
    for column in &columns {
        let ty = world.model.tags.get(&column.tag).context("a known tag")?.value_type;
        all.extend(points_of(column, ty));
    }
    all.extend(points.iter().cloned());
    let changes = Changes { generation: world.generation, users: users.clone(), columns, points };
    let position = world.wait(world.index()?.change(&world.app, changes))?;
    ensure!(
        position > world.model.end,
        "changes at position {position}, behind {}",
        world.model.end
    );
    world.model.change(position, &users, all);
    Ok(())
}

/// A column's changes one by one.
fn points_of(changes: &TagChanges, ty: ValueType) -> Vec<TagChange> {
    let op = |at: usize| match &changes.column {
        ChangeColumn::Unset => Op::Unset,
        ChangeColumn::Numbers(numbers) => Op::Set(of_units(numbers[at], ty)),
        ChangeColumn::Texts { texts, codes } => {
            Op::Set(Value::Text(texts[codes[at] as usize].clone()))
        }
        ChangeColumn::Add { texts, codes } => Op::Add(texts[codes[at] as usize].clone()),
        ChangeColumn::Remove { texts, codes } => Op::Remove(texts[codes[at] as usize].clone()),
    };
    let each = changes.ordinals.iter().enumerate();
    each.map(|(at, ordinal)| TagChange { tag: changes.tag.clone(), ordinal: *ordinal, op: op(at) })
        .collect()
}

/// Makes visible what was changed.
pub(super) fn tick(world: &mut World<'_>, _: &mut Dice) -> anyhow::Result<()> {
    let end = world.tick()?;
    ensure!(
        end == world.model.end,
        "the log ends at {end}, what was acknowledged at {}",
        world.model.end
    );
    Ok(())
}

pub(super) fn checkpoint(world: &mut World<'_>, _: &mut Dice) -> anyhow::Result<()> {
    Ok(world.wait(world.index()?.checkpoint(&world.app))?)
}

pub(super) fn flush(world: &mut World<'_>, _: &mut Dice) -> anyhow::Result<()> {
    world.wait(world.index()?.flush(&world.app))?;
    note_flushes(world)
}

pub(super) fn flush_due(world: &mut World<'_>, _: &mut Dice) -> anyhow::Result<()> {
    world.wait(world.index()?.flush_due(&world.app))?;
    note_flushes(world)
}

/// Which live changes are in the segments now, the index says; the answers must be the same as
/// before.
fn note_flushes(world: &mut World<'_>) -> anyhow::Result<()> {
    let snapshot = world.snapshot()?;
    for info in snapshot.tags() {
        let tag = world.model.tags.get_mut(&info.name).context("a known tag")?;
        ensure!(
            (tag.floor..=world.model.end).contains(&info.flushed_through),
            "tag {} has flushed up to {}",
            info.name,
            info.flushed_through
        );
        tag.flush(info.flushed_through);
    }
    Ok(())
}

/// Deletes one or two people, some of whom perhaps do not exist, and looks at the receipt.
pub(super) fn delete(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let users = (0..1 + dice.below(2))
        .map(|_| world.person(dice))
        .collect::<anyhow::Result<BTreeSet<Ordinal>>>()?;
    let users: Vec<Ordinal> = users.into_iter().collect();
    let receipt = world.wait(world.index()?.delete_users(&world.app, world.generation, &users))?;
    let columns = world.model.columns();
    let held = columns.iter().flat_map(|(name, column)| {
        users.iter().filter_map(move |user| Some((name.clone(), *user, column.get(user)?.clone())))
    });
    let held: Vec<(Name, Ordinal, Value)> = held.collect();
    ensure!(receipt.values == held, "the receipt lists {:?} instead of {held:?}", receipt.values);
    world.model.delete(receipt.position, &users);
    if let Ids::Dictionary { open, given } = &mut world.ids {
        let dictionary = open.as_ref().context("the dictionary is open")?;
        let ids = dictionary.delete(&world.app, &users)?;
        for (user, id) in users.iter().zip(ids) {
            let id = id.with_context(|| format!("ordinal {user} has an id"))?;
            ensure!(given.remove(&id) == Some(*user), "ordinal {user} was {id}'s");
        }
        if dice.one_in(3) {
            dictionary.purge(&world.app)?;
        }
        world.check_ids()?;
    }
    Ok(())
}

fn tag(world: &World<'_>, dice: &mut Dice) -> anyhow::Result<(Name, ValueType, u64)> {
    let tags: Vec<_> = world.model.tags.iter().collect();
    let (name, tag) = dice.pick(&tags).context("there are tags")?;
    Ok(((*name).clone(), tag.value_type, tag.values))
}

fn text(values: u64, dice: &mut Dice) -> Arc<str> {
    match value(ValueType::Text, values, dice) {
        Value::Text(text) => text,
        _ => Arc::from(""),
    }
}

fn op(ty: ValueType, values: u64, dice: &mut Dice) -> Op {
    match (ty, dice.below(8)) {
        (_, 0) => Op::Unset,
        (ValueType::Set, 1) => Op::Set(Value::Set(BTreeSet::new())),
        (ValueType::Set, 2..5) => Op::Add(text(values, dice)),
        (ValueType::Set, 5..7) => Op::Remove(text(values, dice)),
        _ => Op::Set(value(ty, values, dice)),
    }
}

/// A number in units of its type, or a bool.
fn units(ty: ValueType, values: u64, dice: &mut Dice) -> i64 {
    match value(ty, values, dice) {
        Value::Bool(value) => i64::from(value),
        value => taghouse_testkit::units(&value, ty) as i64,
    }
}

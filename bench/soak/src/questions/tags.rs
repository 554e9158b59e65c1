use super::{Asked, bitmap_of};
use anyhow::{Context, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_index::{BitSlices, Bitmap, TagView, UserSet, overlap as overlap_of};
use taghouse_model::{Name, Ordinal, Value, ValueType};
use taghouse_testkit::Dice;
use taghouse_testkit::{ValuesByUser, members};
use taghouse_testkit::{units, value_or_end as value};

/// A tag of the index with what its reference model says.
struct Tag<'a> {
    name: &'a Name,
    value_type: ValueType,
    column: &'a ValuesByUser,
    view: TagView,
}

impl Asked<'_> {
    /// A random tag; of numbers, of others, or any.
    fn tag(&self, numbers: Option<bool>, dice: &mut Dice) -> anyhow::Result<Option<Tag<'_>>> {
        let fits = |ty: ValueType| numbers.is_none_or(|numbers| ty.is_number() == numbers);
        let tags: Vec<_> = self.model.tags.iter().filter(|(_, tag)| fits(tag.value_type)).collect();
        let Some((name, tag)) = dice.pick(&tags).copied() else { return Ok(None) };
        let view = self
            .snapshot
            .tag(name.as_str())?
            .with_context(|| format!("tag {name} is published"))?;
        let column = self.columns.get(name).context("the reference model has the tag")?;
        Ok(Some(Tag { name, value_type: tag.value_type, column, view }))
    }

    /// A crowd within which to ask; without one, all users.
    fn within(&mut self, dice: &mut Dice) -> anyhow::Result<Option<BTreeSet<Ordinal>>> {
        if dice.one_in(4) { Ok(None) } else { self.crowd(dice).map(|crowd| Some(crowd.expected)) }
    }
}

impl Tag<'_> {
    /// The users of the first few values, as the index and as the reference model has them.
    fn some_values(&self) -> anyhow::Result<(Vec<UserSet>, Vec<BTreeSet<Ordinal>>)> {
        let expected = members(self.column);
        let sets = self.view.sets()?.into_iter().take(12);
        Ok(sets
            .map(|(value, users)| (users, expected.get(&value).cloned().unwrap_or_default()))
            .unzip())
    }
}

fn inside(within: Option<&BTreeSet<Ordinal>>, user: Ordinal) -> bool {
    within.is_none_or(|within| within.contains(&user))
}

/// How many of a crowd have each value.
pub(super) fn top_values(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let within = asked.within(dice)?.unwrap_or_else(|| asked.model.users.clone());
    let Some(tag) = asked.tag(Some(false), dice)? else { return Ok(()) };
    let sets = tag.view.sets()?;
    let values: Vec<UserSet> = sets.iter().map(|(_, users)| users.clone()).collect();
    let counts = overlap_of(&[UserSet::Owned(Arc::new(bitmap_of(&within)))], &values, None)?;
    let found: BTreeMap<Value, u64> = sets
        .into_iter()
        .map(|(value, _)| value)
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .collect();
    let right = members(tag.column)
        .into_iter()
        .map(|(value, users)| (value, users.intersection(&within).count() as u64));
    let right: BTreeMap<Value, u64> = right.filter(|(_, count)| *count > 0).collect();
    ensure!(found == right, "of tag {}: {found:?} instead of {right:?}", tag.name);
    Ok(())
}

/// How many users two tags' values share.
pub(super) fn overlap(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let within = asked.within(dice)?;
    let (Some(one), Some(other)) = (asked.tag(Some(false), dice)?, asked.tag(Some(false), dice)?)
    else {
        return Ok(());
    };
    let (rows, columns) = (one.some_values()?, other.some_values()?);
    let bitmap = within.as_ref().map(bitmap_of);
    let found = overlap_of(&rows.0, &columns.0, bitmap.as_ref())?;
    let pairs = rows.1.iter().flat_map(|row| columns.1.iter().map(move |column| (row, column)));
    let right: Vec<u64> = pairs
        .map(|(row, column)| {
            row.intersection(column).filter(|user| inside(within.as_ref(), **user)).count() as u64
        })
        .collect();
    ensure!(
        found == right,
        "of tags {} and {}: {found:?} instead of {right:?}",
        one.name,
        other.name
    );
    Ok(())
}

pub(super) fn sum(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let within = asked.within(dice)?;
    let Some(tag) = asked.tag(Some(true), dice)? else { return Ok(()) };
    let chosen: Vec<&Value> = tag
        .column
        .iter()
        .filter(|(user, _)| inside(within.as_ref(), **user))
        .map(|(_, value)| value)
        .collect();
    let has_sum =
        matches!(tag.value_type, ValueType::Int | ValueType::Decimal { .. }) && !chosen.is_empty();
    let right =
        has_sum.then(|| chosen.iter().map(|value| units(value, tag.value_type)).sum::<i128>());
    let found = tag.view.sum(within.as_ref().map(bitmap_of).as_ref())?;
    ensure!(found == right, "of tag {}: {found:?} instead of {right:?}", tag.name);
    Ok(())
}

pub(super) fn bounds(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let within = asked.within(dice)?;
    let Some(tag) = asked.tag(Some(true), dice)? else { return Ok(()) };
    let chosen = || {
        tag.column
            .iter()
            .filter(|(user, _)| inside(within.as_ref(), **user))
            .map(|(_, value)| value)
    };
    let right = chosen().min().cloned().zip(chosen().max().cloned());
    let found = tag.view.bounds(within.as_ref().map(bitmap_of).as_ref())?;
    ensure!(found == right, "of tag {}: {found:?} instead of {right:?}", tag.name);
    Ok(())
}

/// The numbers of those in `within` in units of the type, ascending: for each part of the slices,
/// by the reference model. A part is a segment or the live changes on top of it; with its slices
/// and those of its users who are asked.
fn numbers_of(
    tag: &Tag<'_>,
    within: &BTreeSet<Ordinal>,
) -> anyhow::Result<Vec<(BitSlices, Bitmap, Vec<i128>)>> {
    let mut parts = Vec::new();
    for (slices, left_out) in tag.view.numbers()? {
        let users = slices.existence().to_bitmap()?.and(&bitmap_of(within));
        let users = left_out.map_or_else(|| users.clone(), |left_out| users.and_not(&left_out));
        let number =
            |user: Ordinal| tag.column.get(&user).map(|value| units(value, tag.value_type));
        let numbers = users.iter().map(|user| {
            number(user).with_context(|| format!("user {user} has no number, tag {}", tag.name))
        });
        let mut numbers = numbers.collect::<anyhow::Result<Vec<i128>>>()?;
        numbers.sort_unstable();
        parts.push((slices, users, numbers));
    }
    let (found, right) = (
        parts.iter().map(|part| part.2.len()).sum::<usize>(),
        within.iter().filter(|user| tag.column.contains_key(user)).count(),
    );
    ensure!(found == right, "{found} numbers instead of {right}, tag {}", tag.name);
    Ok(parts)
}

pub(super) fn quantiles(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let within = asked.within(dice)?.unwrap_or_else(|| asked.model.users.clone());
    let Some(tag) = asked.tag(Some(true), dice)? else { return Ok(()) };
    let asked_for = [0.0, 0.5, 0.95, 1.0, dice.below(1_001) as f64 / 1_000.0];
    for (slices, users, numbers) in numbers_of(&tag, &within)? {
        let rank =
            |q: &f64| ((q * numbers.len() as f64).ceil() as usize).clamp(1, numbers.len()) - 1;
        let right: Vec<i128> = if numbers.is_empty() {
            Vec::new()
        } else {
            asked_for.iter().map(|q| numbers[rank(q)]).collect()
        };
        let found = slices.quantiles(Some(&users), &asked_for)?;
        ensure!(
            found == right,
            "{asked_for:?} of tag {}: {found:?} instead of {right:?}",
            tag.name
        );
    }
    Ok(())
}

/// How many numbers lie between edges.
pub(super) fn distribution(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let within = asked.within(dice)?.unwrap_or_else(|| asked.model.users.clone());
    let Some(tag) = asked.tag(Some(true), dice)? else { return Ok(()) };
    let edges: BTreeSet<i128> = (0..2 + dice.below(6))
        .map(|_| units(&value(tag.value_type, 500, dice), tag.value_type))
        .collect();
    let edges: Vec<i128> = edges.into_iter().collect();
    for (slices, users, numbers) in numbers_of(&tag, &within)? {
        let between = |pair: &[i128]| {
            numbers.iter().filter(|number| (pair[0]..pair[1]).contains(number)).count() as u64
        };
        let right: Vec<u64> = edges.windows(2).map(between).collect();
        let found = slices.histogram(Some(&users), &edges)?;
        ensure!(
            found == right,
            "between {edges:?} of tag {}: {found:?} instead of {right:?}",
            tag.name
        );
    }
    Ok(())
}

/// Every value with its number of users, and the users of one.
pub(super) fn all_values(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let Some(tag) = asked.tag(None, dice)? else { return Ok(()) };
    let members = members(tag.column);
    let found: Vec<(Value, u64)> =
        tag.view.values()?.into_iter().filter(|(_, count)| *count > 0).collect();
    let right: Vec<(Value, u64)> =
        members.iter().map(|(value, users)| (value.clone(), users.len() as u64)).collect();
    ensure!(found == right, "of tag {}: {found:?} instead of {right:?}", tag.name);
    if !tag.value_type.is_number() {
        let values: Vec<&Value> = members.keys().collect();
        if let Some(value) = dice.pick(&values) {
            let found = tag.view.users_of(value)?.unwrap_or_default();
            ensure!(
                found.iter().eq(members[*value].iter().copied()),
                "the users of {value} of tag {}",
                tag.name
            );
        }
    }
    Ok(())
}

/// All that is known of some users.
pub(super) fn profile(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let users: Vec<Ordinal> = asked.model.users.iter().copied().collect();
    let some: Vec<Ordinal> =
        (0..3).filter_map(|_| dice.pick(&users).copied()).chain([3, u32::MAX]).collect();
    for (info, segment) in asked.snapshot.segments() {
        let (segment, column) =
            (segment?, asked.columns.get(&info.name).context("the reference model has the tag")?);
        for user in &some {
            let (found, right) = (segment.value_of(*user)?, column.get(user));
            ensure!(
                found.as_ref() == right,
                "tag {} of user {user}: {found:?} instead of {right:?}",
                info.name
            );
        }
    }
    Ok(())
}

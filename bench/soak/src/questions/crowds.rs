use super::{Asked, Crowd, bitmap_of};
use anyhow::{Context, ensure};
use std::sync::Arc;
use taghouse_index::{Bitmap, UserSet, overlap as overlap_of};
use taghouse_model::Ordinal;
use taghouse_testkit::Dice;

pub(super) fn count(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let Crowd { predicate, query, expected } = asked.crowd(dice)?;
    let (found, expected) = (query.count()?, expected.len() as u64);
    ensure!(found == expected, "{found} instead of {expected}: {predicate:?}");
    let (low, high) = query.bounds();
    ensure!((low..=high).contains(&found), "{found} is not {low} to {high}: {predicate:?}");
    Ok(())
}

pub(super) fn bitmap(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let Crowd { predicate, query, expected } = asked.crowd(dice)?;
    let found = query.bitmap()?;
    ensure!(
        found.len() == expected.len() as u64 && found.iter().eq(expected),
        "other users: {predicate:?}"
    );
    Ok(())
}

pub(super) fn contains(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let Crowd { predicate, query, expected } = asked.crowd(dice)?;
    let users: Vec<Ordinal> = asked.model.users.iter().copied().collect();
    let some: Vec<Ordinal> = (0..8).filter_map(|_| dice.pick(&users).copied()).collect();
    // The latter exist nowhere, though a crowd may hold them.
    for user in some.into_iter().chain([3, 5_000_000, 0, u32::MAX]) {
        ensure!(query.contains(user)? == expected.contains(&user), "user {user} of {predicate:?}");
    }
    Ok(())
}

/// As samples are drawn: by rank.
pub(super) fn sample(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let Crowd { predicate, query, expected } = asked.crowd(dice)?;
    let found = query.bitmap()?;
    for _ in 0..8 {
        let rank = dice.below(expected.len() as u64 + 2);
        let right = expected.iter().nth(rank as usize).copied();
        ensure!(found.select(rank) == right, "the user of rank {rank}: {predicate:?}");
    }
    ensure!(
        (found.min(), found.max()) == (expected.first().copied(), expected.last().copied()),
        "the ends: {predicate:?}"
    );
    Ok(())
}

pub(super) fn page(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let Crowd { predicate, query, expected } = asked.crowd(dice)?;
    let (found, limit) = (query.bitmap()?, 1 + dice.below(50) as usize);
    let (mut from, mut all) = (Some(0), Vec::new());
    while let Some(start) = from {
        let page = found.page(start, limit);
        from = page.last().filter(|_| page.len() == limit).and_then(|last| last.checked_add(1));
        all.extend(page);
    }
    ensure!(all.into_iter().eq(expected), "pages of {limit}: {predicate:?}");
    Ok(())
}

/// The file forms, our own and the portable one.
pub(super) fn export(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let Crowd { predicate, query, expected } = asked.crowd(dice)?;
    let found = query.bitmap()?;
    let right = bitmap_of(&expected);
    ensure!(
        Bitmap::from_portable(&found.serialize_portable())? == right,
        "the portable form: {predicate:?}"
    );
    ensure!(Bitmap::from_bytes(found.to_bytes()?)? == right, "the stored form: {predicate:?}");
    Ok(())
}

pub(super) fn overlap(asked: &mut Asked<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let crowds = (0..1 + dice.below(4))
        .map(|_| asked.crowd(dice))
        .collect::<anyhow::Result<Vec<Crowd>>>()?;
    let within = dice.one_in(2).then(|| asked.crowd(dice)).transpose()?;
    let members = crowds
        .iter()
        .map(|crowd| Ok(UserSet::Owned(Arc::new(crowd.query.bitmap()?))))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let bitmap = within.as_ref().map(|within| within.query.bitmap()).transpose()?;
    let found = overlap_of(&members, &members, bitmap.as_ref())?;
    let mut found = found.into_iter();
    for row in &crowds {
        for column in &crowds {
            let shared = row.expected.intersection(&column.expected);
            let right = shared
                .filter(|user| within.as_ref().is_none_or(|within| within.expected.contains(user)))
                .count() as u64;
            let count = found.next().context("a count a pair")?;
            ensure!(
                count == right,
                "{count} instead of {right} in {:?} and {:?}",
                row.predicate,
                column.predicate
            );
        }
    }
    ensure!(found.next().is_none(), "more counts than pairs");
    Ok(())
}

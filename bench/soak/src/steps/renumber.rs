//! New ordinals for the users who stay.

use crate::world::{Ids, World};
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_model::Ordinal;
use taghouse_testkit::Dice;
use tokio_util::sync::CancellationToken;

/// Half of the users stay, or all. A dictionary is repacked, while users are added and deleted.
pub(super) fn compact(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let share = 1 + dice.below(4);
    let stay: BTreeSet<Ordinal> =
        world.model.users.iter().copied().filter(|_| dice.below(4) < share).collect();
    let renaming = if matches!(world.ids, Ids::Dictionary { .. }) {
        repack(world, &stay, dice)?
    } else {
        spread(world, &stay)?
    };
    world.held = None;
    world.model.rename(&|user| renaming.get(&user).copied());
    // Crowds are sets of ordinals of the generation in which they were computed.
    world.draw_crowds(dice);
    let end = world.tick()?;
    world.model.restart(end);
    Ok(())
}

/// Without a dictionary: three apart.
fn spread(
    world: &mut World<'_>,
    stay: &BTreeSet<Ordinal>,
) -> anyhow::Result<BTreeMap<Ordinal, Ordinal>> {
    let renaming: BTreeMap<Ordinal, Ordinal> =
        stay.iter().copied().zip((0..).map(|place| place * 3)).collect();
    world.generation += 1;
    remap(world, &renaming)?;
    Ok(renaming)
}

fn remap(world: &World<'_>, renaming: &BTreeMap<Ordinal, Ordinal>) -> anyhow::Result<()> {
    let renaming = renaming.clone();
    let renaming = Arc::new(move |user: Ordinal| renaming.get(&user).copied());
    let index = world.index()?;
    world.wait(async {
        let Some(held) = index.hold(&world.app).await? else { return Ok(()) };
        let publication =
            held.renamed(world.generation, renaming, &CancellationToken::new()).await?;
        index.publish_renamed(&world.app, held, publication, vec![]).await?;
        anyhow::Ok(())
    })
}

fn repack(
    world: &mut World<'_>,
    stay: &BTreeSet<Ordinal>,
    dice: &mut Dice,
) -> anyhow::Result<BTreeMap<Ordinal, Ordinal>> {
    let taken = match &mut world.ids {
        Ids::Dictionary { open, .. } => open.take(),
        Ids::Apart { .. } => None,
    };
    let dictionary = taken.context("the dictionary is open")?;
    let result = (|| {
        let repack = dictionary.repack(&world.app, stay.iter().copied())?;
        // Somebody comes in the middle of it.
        let late = dice.one_in(2).then(|| format!("late {}", dice.next()));
        if let Some(id) = &late {
            dictionary.assign(&world.app, &[id])?;
        }
        let numbers = repack.renumbering();
        let kept = stay.iter().filter_map(|user| Some((*user, numbers.new_ordinal(*user)?)));
        let kept: BTreeMap<Ordinal, Ordinal> = kept.collect();
        world.generation = repack.generation();
        repack.finish(|carried| {
            let late = carried.late.iter().copied();
            let all: BTreeMap<Ordinal, Ordinal> =
                kept.iter().map(|(old, new)| (*old, *new)).chain(late).collect();
            remap(world, &all)?;
            anyhow::Ok((
                all,
                late_of(&dictionary, world, carried.late.first().map(|(old, _)| *old))?,
            ))
        })
    })();
    let (renaming, added): (BTreeMap<Ordinal, Ordinal>, Option<(String, Ordinal)>) = result?;
    if let Ids::Dictionary { open, given } = &mut world.ids {
        *open = Some(dictionary);
        given.extend(added);
        *given = std::mem::take(given)
            .into_iter()
            .filter_map(|(id, old)| Some((id, *renaming.get(&old)?)))
            .collect();
    }
    world.check_ids()?;
    Ok(renaming)
}

/// The id of a user who was added in the middle.
fn late_of(
    dictionary: &taghouse_dictionary::Dictionary,
    world: &World<'_>,
    ordinal: Option<Ordinal>,
) -> anyhow::Result<Option<(String, Ordinal)>> {
    let Some(ordinal) = ordinal else { return Ok(None) };
    let id = dictionary.resolve(&world.app, &[ordinal])?.pop().flatten();
    Ok(Some((id.with_context(|| format!("ordinal {ordinal} has an id"))?, ordinal)))
}

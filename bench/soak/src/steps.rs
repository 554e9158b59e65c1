//! What happens in a history.

use crate::dice::Dice;
use crate::questions;
use crate::world::World;
use anyhow::{Context, ensure};
use taghouse_model::Name;

/// Questions of one moment.
const QUESTIONS_AT_ONCE: usize = 20;

/// Something that happens, to the index and to its twin.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// How often among all.
    weight: u64,
    pub(crate) take: fn(&mut World<'_>, &mut Dice) -> anyhow::Result<()>,
}

/// Everything that can happen.
pub(crate) const STEPS: [Step; 5] = [
    Step { name: "publish", weight: 4, take: publish },
    Step { name: "change a type", weight: 1, take: retype },
    Step { name: "compute other crowds", weight: 1, take: recompute },
    Step { name: "reopen", weight: 2, take: reopen },
    Step { name: "ask", weight: 8, take: ask },
];

/// The next step.
pub(crate) fn draw(dice: &mut Dice) -> &'static Step {
    let mut at = dice.below(STEPS.iter().map(|step| step.weight).sum());
    for step in &STEPS {
        if at < step.weight {
            return step;
        }
        at -= step.weight;
    }
    &STEPS[0]
}

fn some_tags(world: &World<'_>, dice: &mut Dice) -> Vec<Name> {
    let all = world.twin.tags.len() as u64;
    let few = 1 + dice.below(3);
    world.twin.tags.keys().filter(|_| dice.below(all) < few).cloned().collect()
}

fn publish(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let tags = some_tags(world, dice);
    world.publish_random(&tags, dice)
}

fn retype(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let names: Vec<Name> = world.twin.tags.keys().cloned().collect();
    world.retype(dice.pick(&names).context("there are tags")?, dice)
}

fn recompute(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    world.draw_crowds(dice);
    Ok(())
}

/// Ends the process, so to speak, and opens everything again.
pub(crate) fn reopen(world: &mut World<'_>, _: &mut Dice) -> anyhow::Result<()> {
    world.open()?;
    world.check_ids()
}

/// Asks questions of every kind of one snapshot, which must hold exactly the users and types that it should.
pub(crate) fn ask(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let snapshot = world.snapshot()?;
    ensure!(snapshot.users().iter().eq(world.twin.users.iter().copied()), "other users exist");
    let types = world.twin.tags.iter().map(|(name, tag)| (name.clone(), tag.value_type)).collect();
    ensure!(snapshot.types() == types, "the tags have other types");
    let columns = world.twin.columns();
    for _ in 0..QUESTIONS_AT_ONCE {
        questions::ask_one(world, &snapshot, &columns, dice)?;
    }
    Ok(())
}

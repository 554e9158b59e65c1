//! The steps of a history.

mod live;
mod renumber;

use crate::questions::{self, Moment};
use crate::world::{Held, World};
use anyhow::{Context, ensure};
use taghouse_model::Name;
use taghouse_testkit::Dice;

/// Questions of one moment.
const QUESTIONS_AT_ONCE: usize = 20;

/// A step, taken by the index and by its reference model.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// Its weight among all.
    weight: u64,
    pub(crate) take: fn(&mut World<'_>, &mut Dice) -> anyhow::Result<()>,
}

/// All steps.
pub(crate) const STEPS: [Step; 16] = [
    Step { name: "publish", weight: 3, take: publish },
    Step { name: "publish with live changes subsumed", weight: 3, take: publish_subsuming },
    Step { name: "change a type", weight: 1, take: retype },
    Step { name: "compute other crowds", weight: 1, take: recompute },
    Step { name: "live changes", weight: 12, take: live::change },
    Step { name: "live changes in columns", weight: 4, take: live::change_columns },
    Step { name: "tick", weight: 2, take: live::tick },
    Step { name: "checkpoint", weight: 2, take: live::checkpoint },
    Step { name: "flush", weight: 2, take: live::flush },
    Step { name: "flush what is due", weight: 2, take: live::flush_due },
    Step { name: "delete users", weight: 2, take: live::delete },
    Step { name: "compact", weight: 1, take: renumber::compact },
    Step { name: "reopen", weight: 3, take: reopen },
    Step { name: "hold a snapshot", weight: 2, take: hold },
    Step { name: "ask what is held", weight: 4, take: ask_held },
    Step { name: "ask", weight: 16, take: ask },
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
    let all = world.model.tags.len() as u64;
    let few = 1 + dice.below(3);
    world.model.tags.keys().filter(|_| dice.below(all) < few).cloned().collect()
}

fn publish(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let tags = some_tags(world, dice);
    world.publish_random(&tags, false, dice)
}

fn publish_subsuming(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let tags = some_tags(world, dice);
    world.publish_random(&tags, true, dice)
}

fn retype(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let names: Vec<Name> = world.model.tags.keys().cloned().collect();
    world.retype(dice.pick(&names).context("there are tags")?, dice)
}

fn recompute(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    world.draw_crowds(dice);
    Ok(())
}

/// Reopens everything, as after a restart of the process.
pub(crate) fn reopen(world: &mut World<'_>, _: &mut Dice) -> anyhow::Result<()> {
    world.open()?;
    world.check_ids()
}

/// The state of the index and of its reference model at this moment. The snapshot must have exactly
/// the expected users and types.
fn moment(world: &World<'_>) -> anyhow::Result<Held> {
    let end = world.tick()?;
    ensure!(
        end == world.model.end,
        "the log ends at {end}, what was acknowledged at {}",
        world.model.end
    );
    let snapshot = world.snapshot()?;
    ensure!(
        snapshot.position() == end,
        "a snapshot after a tick holds changes up to {} of {end}",
        snapshot.position()
    );
    ensure!(snapshot.generation() == world.generation, "the snapshot is of another generation");
    ensure!(snapshot.users().iter().eq(world.model.users.iter().copied()), "other users exist");
    let types = world.model.tags.iter().map(|(name, tag)| (name.clone(), tag.value_type)).collect();
    ensure!(snapshot.types() == types, "the tags have other types");
    Ok(Held { snapshot, model: world.model.clone(), columns: world.model.columns() })
}

fn ask_of(moment: &Held, world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let moment =
        Moment { model: &moment.model, columns: &moment.columns, snapshot: &moment.snapshot };
    (0..QUESTIONS_AT_ONCE).try_for_each(|_| questions::ask_one(&moment, &mut world.counts, dice))
}

/// Asks questions of every kind.
pub(crate) fn ask(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let moment = moment(world)?;
    ask_of(&moment, world, dice)
}

/// Keeps a snapshot while other things happen.
fn hold(world: &mut World<'_>, _: &mut Dice) -> anyhow::Result<()> {
    world.held = Some(moment(world)?);
    Ok(())
}

/// Queries a snapshot of an earlier moment, which must not have changed.
fn ask_held(world: &mut World<'_>, dice: &mut Dice) -> anyhow::Result<()> {
    let Some(held) = world.held.take() else { return ask(world, dice) };
    let asked = ask_of(&held, world, dice);
    world.held = Some(held);
    asked
}

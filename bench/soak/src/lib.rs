//! Random histories: an app is published, queried, changed and reopened in random order, and every
//! answer is compared with sorted sets that are computed user by user. A history is determined by
//! its seed.
//!
//! * `steps`: what happens. `questions`: what is queried. A new step or question is a line in the
//!   table there.
//! * `taghouse_testkit::ReferenceModel`: the expected state. `world`: the real one beside it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod counts;
mod predicates;
mod questions;
mod steps;
mod world;

pub use counts::Counts;

use anyhow::{Context, anyhow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use taghouse_testkit::Dice;
use tokio::runtime::{Builder, Runtime};
use world::World;

/// Runs one history after another.
///
/// ```
/// let folder = std::env::temp_dir();
/// let mut soak = taghouse_soak::Soak::new(1, Some(folder))?;
/// soak.run_one()?;
/// assert!(soak.counts().questions() > 0);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Soak {
    seed: u64,
    folder: PathBuf,
    runtime: Runtime,
    counts: Counts,
}

impl Soak {
    /// Starts with the history of `seed`. Files go below `folder`, by default the system's
    /// temporary folder.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn new(seed: u64, folder: Option<PathBuf>) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self {
            seed,
            folder: folder.unwrap_or_else(std::env::temp_dir),
            runtime,
            counts: Counts::default(),
        })
    }

    /// The steps and questions so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Runs the next history.
    ///
    /// # Errors
    /// A wrong answer, a failure or a panic, with the command that repeats it.
    pub fn run_one(&mut self) -> anyhow::Result<()> {
        let seed = self.seed;
        self.seed = self.seed.wrapping_add(1);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run(seed)));
        let outcome = outcome.unwrap_or_else(|panic| {
            let message = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            Err(anyhow!("it panicked: {}", message.unwrap_or_default()))
        });
        outcome.with_context(|| {
            format!(
                "the history of seed {seed} fails; repeat it with: taghouse-soak --seed {seed} --cases 1"
            )
        })
    }

    fn run(&mut self, seed: u64) -> anyhow::Result<()> {
        let mut dice = Dice::of_counted(seed);
        let mut world = World::new(&mut dice, &self.folder, &self.runtime)?;
        let steps = 8 + dice.below(24);
        let outcome = (0..steps).try_for_each(|number| {
            let step = steps::draw(&mut dice);
            (step.take)(&mut world, &mut dice)
                .with_context(|| format!("step {number} of {steps}, {}", step.name))?;
            world.counts.step(step.name);
            Ok(())
        });
        let outcome = outcome
            .and_then(|()| steps::reopen(&mut world, &mut dice))
            .and_then(|()| steps::ask(&mut world, &mut dice));
        self.counts.add(&world.counts);
        outcome
    }
}

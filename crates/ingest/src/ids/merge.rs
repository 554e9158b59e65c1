//! Which runs are merged, and how.
//!
//! Runs of an hour are merged when there are eight of about one size (tiers), and all of them when
//! the hour is over. So an id is written three or four times.

use super::entry::Entry;
use super::failure::Result;
use super::run::RunWriter;
use super::said::Void;
use super::store::ShownRun;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// So many runs of a size become one of the next.
const MERGED_RUNS: usize = 8;

/// Runs of one hour that are to be one.
pub(super) struct MergePlan {
    pub(super) hour: u32,
    pub(super) runs: Vec<ShownRun>,
}

/// What to merge next; `hour`: the current one.
pub(super) fn plan<'r>(runs: impl Iterator<Item = &'r ShownRun>, hour: u32) -> Option<MergePlan> {
    let mut groups: BTreeMap<(u32, u32), Vec<ShownRun>> = BTreeMap::new();
    for run in runs {
        // Of hours that are over all sizes are one.
        let size = if run.hour < hour { 0 } else { run.run.entries().max(1).ilog2() / 3 };
        groups.entry((run.hour, size)).or_default().push(run.clone());
    }
    let is_due = |of: u32, runs: usize| runs >= if of < hour { 2 } else { MERGED_RUNS };
    let due = groups.into_iter().find(|((of, _), runs)| is_due(*of, runs.len()));
    due.map(|((hour, _), runs)| MergePlan { hour, runs })
}

/// Writes the merged run, without ids that do not count.
pub(super) fn write(plan: &MergePlan, voids: &[Void], unfinished: PathBuf) -> Result<()> {
    let most = plan.runs.iter().map(|run| run.run.entries()).sum();
    let mut writer = RunWriter::new(unfinished, most)?;
    let mut all: Vec<_> = plan.runs.iter().map(|run| (run.number, run.run.all())).collect();
    let mut next = |at: usize| -> Result<Option<Entry>> {
        let (number, entries) = &mut all[at];
        while let Some(entry) = entries.next()? {
            if !voids.iter().any(|void| void.has(*number, &entry)) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    };
    let mut heads: Vec<Option<Entry>> =
        (0..plan.runs.len()).map(&mut next).collect::<Result<_>>()?;
    loop {
        // Of one id the earliest record: it is the last to be void.
        let least = heads.iter().flatten().min_by_key(|entry| (entry.key, entry.position)).copied();
        let Some(least) = least else { break };
        writer.push(&least)?;
        for (at, head) in heads.iter_mut().enumerate() {
            if head.is_some_and(|entry| entry.key == least.key) {
                *head = next(at)?;
            }
        }
    }
    writer.finish()?;
    Ok(())
}

//! What the log holds: the mark and the runs of each app.

use crate::mark::Mark;
use crate::runs::{AppRuns, Run};
use crate::segment::Segment;
use std::collections::HashMap;
use std::sync::Arc;
use taghouse_model::AppId;

/// The apps of the log. A clone is the log as it was at one moment: the segments that it names stay
/// readable.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    apps: HashMap<AppId, AppRuns>,
    /// The number of the last group.
    pub(crate) groups: u64,
}

/// What a read finds.
pub(crate) struct Found {
    /// The position behind which it begins: what is trimmed is skipped.
    pub(crate) after: u64,
    /// In order. None: there is nothing behind it.
    pub(crate) runs: Vec<Run>,
}

impl Contents {
    pub(crate) fn mark(&self, app: &AppId) -> Mark {
        self.apps.get(app).map(|runs| runs.mark).unwrap_or_default()
    }

    pub(crate) fn marks(&self) -> impl Iterator<Item = (&AppId, Mark)> {
        self.apps.iter().map(|(app, runs)| (app, runs.mark))
    }

    /// Every app with its runs behind what is trimmed, in order.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&AppId, u64, impl Iterator<Item = &Run>)> {
        self.apps.iter().map(|(app, runs)| {
            let trimmed = runs.mark.trimmed;
            (app, trimmed, runs.behind(trimmed + 1))
        })
    }

    /// Runs of the records behind `from`: the first ones, up to some that weigh `weight`, or have
    /// `records` records.
    pub(crate) fn find(&self, app: &AppId, from: u64, records: usize, weight: u64) -> Found {
        let Some(of_app) = self.apps.get(app) else {
            return Found { after: from, runs: Vec::new() };
        };
        let after = from.max(of_app.mark.trimmed);
        let (mut runs, mut weighs, mut has) = (Vec::new(), 0, 0);
        if after < of_app.mark.end {
            for run in of_app.behind(after + 1) {
                runs.push(run.clone());
                weighs += run.weight();
                has += run.last - after.max(run.first - 1);
                if weighs >= weight || has >= records as u64 {
                    break;
                }
            }
        }
        Found { after, runs }
    }

    /// The runs of an app that lie in a segment, of the positions from `first` to `last`.
    pub(crate) fn runs_in(
        &self,
        app: &AppId,
        segment: &Arc<Segment>,
        first: u64,
        last: u64,
    ) -> Vec<Run> {
        let Some(of_app) = self.apps.get(app) else { return Vec::new() };
        let runs = of_app.behind(first).take_while(|run| run.first <= last);
        runs.filter(|run| Arc::ptr_eq(&run.segment, segment)).cloned().collect()
    }

    /// Sets marks of apps without records.
    pub(crate) fn set(&mut self, marks: Vec<(AppId, Mark)>) {
        for (app, mark) in marks {
            self.apps.entry(app).or_default().mark = mark;
        }
    }

    /// Adds the next records of an app; `false`: they are not the next ones.
    pub(crate) fn append(&mut self, app: &AppId, run: Run) -> bool {
        let runs = self.of(app);
        if run.first != runs.mark.end + 1 {
            return false;
        }
        runs.mark.end = run.last;
        if run.last > runs.mark.trimmed {
            runs.put(run);
        }
        true
    }

    /// Notes where records of an app are now; `false`: it has none at these positions.
    pub(crate) fn carry(&mut self, app: &AppId, run: Run) -> bool {
        let runs = self.of(app);
        if run.last > runs.mark.end {
            return false;
        }
        if run.last > runs.mark.trimmed {
            runs.put(run);
        }
        true
    }

    /// Drops an app's records up to and with position `through`; `false`: it is past the end.
    pub(crate) fn trim(&mut self, app: &AppId, through: u64) -> bool {
        let runs = self.of(app);
        let is_sound = through <= runs.mark.end;
        if is_sound {
            runs.trim(through);
        }
        is_sound
    }

    /// What should be there and is not.
    pub(crate) fn hole(&self) -> Option<String> {
        self.apps.iter().find_map(|(app, runs)| {
            let position = runs.hole()?;
            Some(format!("app {app} has no record at position {position} of {}", runs.mark.end))
        })
    }

    fn of(&mut self, app: &AppId) -> &mut AppRuns {
        self.apps.entry(app.clone()).or_default()
    }
}

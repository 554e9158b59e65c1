use super::plan::BatchPlan;
use super::values::{TagValues, ValuesBuilder};
use crate::cell::{Cell, Natural};
use crate::gather::Selection;
use crate::partial::{Finished, Partial};
use crate::plan::{Group, PlannedKind, PlannedTag, ValueGroup};
use crate::step::{Slots, Step};
use crate::store::TagStore;
use crate::texts::Texts;
use crate::{EventBatch, Outcome, SkipReason};
use std::ops::Range;
use std::sync::Arc;
use taghouse_model::TimestampMs;

/// One worker's pass: the states of its users under a plan's tags. Users are numbered densely from
/// 0 by the caller.
pub struct BatchFold {
    plan: Arc<BatchPlan>,
    step: Step,
    users: usize,
    watch: Watch,
}

/// A user's states are in the slot of the user's number.
struct ByUser<'a> {
    plan: &'a BatchPlan,
    users: &'a [u32],
    count: usize,
}

impl Slots for ByUser<'_> {
    fn window(&self, group: usize) -> Range<TimestampMs> {
        self.plan.starts_ms[group]..self.plan.as_of_ms
    }

    fn of_rows(&self, _: usize) -> &[u32] {
        self.users
    }

    fn len(&self, _: usize) -> usize {
        self.count
    }
}

impl BatchFold {
    /// A worker with no users yet.
    pub fn new(plan: Arc<BatchPlan>) -> Self {
        let step = Step::new(&plan);
        Self { plan, step, users: 0, watch: Watch::default() }
    }

    /// Takes in some rows of a batch: `users[i]` is whose event `rows[i]` is. Events out of a tag's
    /// window are passed over.
    pub fn step_batch(&mut self, batch: &EventBatch<'_>, rows: &[u32], users: &[u32]) {
        debug_assert_eq!(rows.len(), users.len());
        self.users = self.users.max(users.iter().max().map_or(0, |last| *last as usize + 1));
        self.step.select(&self.plan, batch, rows);
        let selection = Selection { batch, rows, slots: users };
        for (group, picks) in self.step.groups(&self.plan) {
            self.watch.see(&self.plan, &self.plan.groups[group], picks, &selection);
        }
        let slots = ByUser { plan: &self.plan, users, count: self.users };
        self.step.take_in(&self.plan, batch, rows, &slots);
    }

    /// From now on it is noted when the last event came that a tag looks at, in its window or not,
    /// of users 0 to `users`; `tags` says of which tags.
    pub fn watch(&mut self, users: usize, tags: &[bool]) {
        let latest =
            |watched: &bool| if *watched { vec![TimestampMs::MIN; users] } else { Vec::new() };
        self.watch = Watch { users, latest: tags.iter().map(latest).collect() };
    }

    /// What [`BatchFold::watch`] noted, by tag; [`TimestampMs::MIN`]: no event came before the
    /// as-of time. Empty for a tag that is not watched.
    pub fn latest_ms(&mut self) -> Vec<Vec<TimestampMs>> {
        std::mem::take(&mut self.watch.latest)
    }

    /// The values of users 0 to `users`, of each tag in the plan's order.
    pub fn finish(self, users: usize) -> Vec<TagValues> {
        let Step { stores, texts, out_of_range, .. } = self.step;
        let finish = |((tag, mut store), out_of_range): ((&PlannedTag, TagStore), u64)| {
            let mut values = ValuesBuilder::new(tag.tag_type);
            values.skip(SkipReason::OutOfRange, out_of_range);
            let as_of_ms = self.plan.as_of_ms;
            (0..users)
                .for_each(|user| values.push(outcome(tag, &mut store, user, &texts, as_of_ms)));
            values.finish()
        };
        self.plan.tags.iter().zip(stores).zip(out_of_range).map(finish).collect()
    }
}

fn outcome(
    tag: &PlannedTag,
    store: &mut TagStore,
    user: usize,
    texts: &Texts,
    as_of_ms: TimestampMs,
) -> Outcome {
    let PlannedKind::Aggregate(spec) = &tag.kind else {
        let all = store.take_cells(user, texts);
        return all.map_or(Outcome::Nothing, |all| tag.look(all, as_of_ms).outcome);
    };
    match store {
        TagStore::Count(counts) => {
            let finished = counts.get(user).cloned().unwrap_or_default().finish(&Natural);
            spec.outcome(finished, |number: &i128| Cell::Number(*number))
        }
        TagStore::Numbers(store) => {
            spec.outcome(store.take(user, texts), |number| Cell::Number(*number))
        }
        TagStore::Quotients(store) => {
            spec.outcome(store.take(user, texts), |quotient| Cell::Quotient(*quotient))
        }
        TagStore::Texts(store) => match store.take(user, texts) {
            Finished::Nothing => Outcome::Nothing,
            finished => spec.outcome(finished, |text| Cell::Text(texts.get(*text).into())),
        },
        TagStore::Sessions { .. } | TagStore::Traces(_) => Outcome::Nothing,
    }
}

/// When the last event of some users came, by tag.
#[derive(Default)]
struct Watch {
    users: usize,
    latest: Vec<Vec<TimestampMs>>,
}

impl Watch {
    fn see(&mut self, plan: &BatchPlan, group: &Group, picks: &[u32], selection: &Selection<'_>) {
        let tags = || group.values.iter().flat_map(ValueGroup::all_tags);
        if !tags().any(|tag| self.latest.get(tag).is_some_and(|latest| !latest.is_empty())) {
            return;
        }
        for pick in picks {
            let (row, user) =
                (selection.rows[*pick as usize], selection.slots[*pick as usize] as usize);
            let time = selection.batch.stamps.time_ms(row);
            let counts = user < self.users
                && time < plan.as_of_ms
                && group
                    .filter
                    .as_ref()
                    .is_none_or(|filter| filter.holds(&selection.batch.rows.at(row as usize)));
            if counts {
                for tag in tags() {
                    if let Some(latest) =
                        self.latest.get_mut(tag).and_then(|latest| latest.get_mut(user))
                    {
                        *latest = (*latest).max(time);
                    }
                }
            }
        }
    }
}

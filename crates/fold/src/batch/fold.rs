use super::gather::{Cells, Gather, Selection};
use super::plan::{BatchPlan, Group, ValueGroup};
use super::store::{Input, TagStore};
use super::values::{TagValues, ValuesBuilder};
use crate::cell::Cell;
use crate::partial::{Count, Finished, Partial, Text};
use crate::quotient::Quotient;
use crate::texts::Texts;
use crate::{EventBatch, SkipReason};
use std::sync::Arc;
use taghouse_model::{TimestampMs, ValueType};

/// One worker's pass: the states of its users under a plan's tags. Users are numbered densely from
/// 0 by the caller.
pub struct BatchFold {
    plan: Arc<BatchPlan>,
    stores: Vec<TagStore>,
    /// For each tag the events whose value no number holds.
    out_of_range: Vec<u64>,
    texts: Texts,
    users: usize,
    watch: Watch,
    // Buffers that are used again for every batch.
    by_code: Vec<Vec<u32>>,
    selected: Vec<u32>,
    numbers: Cells<i128>,
    quotients: Cells<Quotient>,
    keys: Cells<Text>,
    known: Vec<Vec<u32>>,
}

impl BatchFold {
    /// A worker with no users yet.
    pub fn new(plan: Arc<BatchPlan>) -> Self {
        let stores = plan.tags.iter().map(|tag| TagStore::new(&tag.spec)).collect();
        let out_of_range = vec![0; plan.tags.len()];
        let by_code = vec![Vec::new(); plan.by_code.len()];
        let known = vec![Vec::new(); plan.columns.iter().count()];
        Self {
            plan,
            stores,
            out_of_range,
            texts: Texts::default(),
            users: 0,
            watch: Watch::default(),
            by_code,
            selected: Vec::new(),
            numbers: Cells::default(),
            quotients: Cells::default(),
            keys: Cells::default(),
            known,
        }
    }

    /// Takes in some rows of a batch: `users[i]` is whose event `rows[i]` is. Events out of a tag's
    /// window are passed over.
    pub fn step_batch(&mut self, batch: &EventBatch<'_>, rows: &[u32], users: &[u32]) {
        debug_assert_eq!(rows.len(), users.len());
        let plan = Arc::clone(&self.plan);
        self.grow(users.iter().max().map_or(0, |last| *last as usize + 1));
        self.known.iter_mut().for_each(Vec::clear);
        let (earliest, latest) = self.sort_by_event(&plan, batch, rows);
        let selection = Selection { batch, rows, users };
        let by_code = std::mem::take(&mut self.by_code);
        for (all, groups) in by_code.iter().zip(&plan.by_code).filter(|(all, _)| !all.is_empty()) {
            for group in groups.iter().map(|at| &plan.groups[*at]) {
                self.watch.see(&plan, group, all, &selection);
                let mut selected = std::mem::take(&mut self.selected);
                selected.clear();
                let in_window = group.start_ms <= earliest && latest < plan.as_of_ms;
                let picks = if in_window && group.filter.is_none() {
                    all
                } else {
                    selected.extend(all.iter().copied().filter(|pick| {
                        let row = rows[*pick as usize];
                        let time = batch.stamps.time_ms(row);
                        (in_window || (group.start_ms <= time && time < plan.as_of_ms))
                            && group
                                .filter
                                .as_ref()
                                .is_none_or(|filter| filter.holds(&batch.rows, row as usize))
                    }));
                    &selected
                };
                if !picks.is_empty() {
                    group
                        .values
                        .iter()
                        .for_each(|values| self.step_values(&plan, values, picks, &selection));
                }
                self.selected = selected;
            }
        }
        self.by_code = by_code;
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

    fn grow(&mut self, users: usize) {
        if self.users < users {
            self.users = users;
            self.stores.iter_mut().for_each(|store| store.grow(users));
        }
    }

    /// Sorts the selection by event code; gives the first and last time in it.
    fn sort_by_event(
        &mut self,
        plan: &BatchPlan,
        batch: &EventBatch<'_>,
        rows: &[u32],
    ) -> (TimestampMs, TimestampMs) {
        self.by_code.iter_mut().for_each(Vec::clear);
        let (mut earliest, mut latest) = (TimestampMs::MAX, TimestampMs::MIN);
        let mut before: Option<(&str, usize)> = None;
        for (pick, row) in (0u32..).zip(rows) {
            let time = batch.stamps.time_ms(*row);
            earliest = earliest.min(time);
            latest = latest.max(time);
            let name = batch.events.value(*row as usize);
            let code = match before {
                Some((same, code)) if same == name => code,
                _ => plan.codes.get(name).copied().unwrap_or(0),
            };
            before = Some((name, code));
            self.by_code[code].push(pick);
        }
        (earliest, latest)
    }

    fn step_values(
        &mut self,
        plan: &BatchPlan,
        values: &ValueGroup,
        picks: &[u32],
        selection: &Selection<'_>,
    ) {
        let Some(expression) = &values.expression else {
            values
                .tags
                .iter()
                .for_each(|tag| count(&mut self.stores[*tag], picks, selection.users));
            return;
        };
        let Some(spec) = values.tags.first().map(|tag| &plan.tags[*tag].spec) else { return };
        let (rows, users, stamps) = (selection.rows, selection.users, &selection.batch.stamps);
        let mut gather = Gather { selection, spec, texts: &mut self.texts, known: &mut self.known };
        if matches!(spec.value_type, ValueType::Text | ValueType::Set) {
            gather.texts(expression, picks, &mut self.keys);
            let input =
                Input { picks: &self.keys.picks, keys: &self.keys.keys, rows, users, stamps };
            for tag in &values.tags {
                match &mut self.stores[*tag] {
                    TagStore::Texts(store) => store.step(&input, &self.texts),
                    store => count(store, input.picks, users),
                }
            }
        } else if spec.quotients {
            let out_of_range = gather.quotients(expression, picks, &mut self.quotients);
            values.tags.iter().for_each(|tag| self.out_of_range[*tag] += out_of_range);
            let input = Input {
                picks: &self.quotients.picks,
                keys: &self.quotients.keys,
                rows,
                users,
                stamps,
            };
            for tag in &values.tags {
                match &mut self.stores[*tag] {
                    TagStore::Quotients(store) => store.step(&input, &self.texts),
                    store => count(store, input.picks, users),
                }
            }
        } else {
            let out_of_range = gather.numbers(expression, picks, &mut self.numbers);
            values.tags.iter().for_each(|tag| self.out_of_range[*tag] += out_of_range);
            let input =
                Input { picks: &self.numbers.picks, keys: &self.numbers.keys, rows, users, stamps };
            for tag in &values.tags {
                match &mut self.stores[*tag] {
                    TagStore::Numbers(store) => store.step(&input, &self.texts),
                    store => count(store, input.picks, users),
                }
            }
        }
    }

    /// The values of users 0 to `users`, of each tag in the plan's order.
    pub fn finish(mut self, users: usize) -> Vec<TagValues> {
        let plan = Arc::clone(&self.plan);
        let texts = std::mem::take(&mut self.texts);
        let stores = std::mem::take(&mut self.stores);
        let finish =
            |((tag, mut store), out_of_range): ((&super::plan::PlannedTag, TagStore), &u64)| {
                let mut values = ValuesBuilder::new(tag.tag_type);
                values.skip(SkipReason::OutOfRange, *out_of_range);
                for user in 0..users {
                    values.push(match &mut store {
                        TagStore::Count(counts) => {
                            let finished = counts
                                .get(user)
                                .cloned()
                                .unwrap_or_default()
                                .finish(&crate::cell::Natural);
                            tag.spec.outcome(finished, |number: &i128| Cell::Number(*number))
                        }
                        TagStore::Numbers(store) => tag
                            .spec
                            .outcome(store.take(user, &texts), |number| Cell::Number(*number)),
                        TagStore::Quotients(store) => {
                            tag.spec.outcome(store.take(user, &texts), |quotient| {
                                Cell::Quotient(*quotient)
                            })
                        }
                        TagStore::Texts(store) => match store.take(user, &texts) {
                            Finished::Nothing => crate::Outcome::Nothing,
                            finished => tag
                                .spec
                                .outcome(finished, |text| Cell::Text(texts.get(*text).into())),
                        },
                    });
                }
                values.finish()
            };
        plan.tags.iter().zip(stores).zip(&self.out_of_range).map(finish).collect()
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
        let tags = || group.values.iter().flat_map(|values| &values.tags).copied();
        if !tags().any(|tag| self.latest.get(tag).is_some_and(|latest| !latest.is_empty())) {
            return;
        }
        for pick in picks {
            let (row, user) =
                (selection.rows[*pick as usize], selection.users[*pick as usize] as usize);
            let time = selection.batch.stamps.time_ms(row);
            let counts = user < self.users
                && time < plan.as_of_ms
                && group
                    .filter
                    .as_ref()
                    .is_none_or(|filter| filter.holds(&selection.batch.rows, row as usize));
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

/// Counts values, whatever they are.
fn count(store: &mut TagStore, picks: &[u32], users: &[u32]) {
    if let TagStore::Count(counts) = store {
        picks.iter().for_each(|pick| Count::add(&mut counts[users[*pick as usize] as usize]));
    }
}

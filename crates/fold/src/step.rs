//! One columnar step over a batch of events: the batch's and the stream's.
//!
//! ```text
//! rows ─► by event code ─► per group: window and filter ─► per value group: keys ─► per tag: states by slot
//! ```
//!
//! What a slot is, the caller says ([`Slots`]): of a batch as of one time a user, of the stream a
//! tile of a user. All else is the same.

use crate::EventBatch;
use crate::gather::{Cells, Gather, Selection};
use crate::partial::{Count, Mark, Stamp, Text, id_hash};
use crate::plan::{FoldPlan, Marks, ValueGroup};
use crate::quotient::Quotient;
use crate::store::{Input, TagStore};
use crate::texts::Texts;
use std::ops::Range;
use taghouse_model::{TimestampMs, ValueType};
use xxhash_rust::xxh3::xxh3_64;

/// Where the states of a batch's events are.
pub(crate) trait Slots {
    /// The instants whose events count for a group.
    fn window(&self, group: usize) -> Range<TimestampMs>;

    /// The slot of each of the selection's rows, for a group.
    fn of_rows(&self, group: usize) -> &[u32];

    /// How many slots a group's tags have.
    fn len(&self, group: usize) -> usize;
}

/// The states of a plan's tags by slot, and buffers that are used again for every batch.
pub(crate) struct Step {
    pub(crate) stores: Vec<TagStore>,
    pub(crate) texts: Texts,
    /// For each tag the events whose value no number holds.
    pub(crate) out_of_range: Vec<u64>,
    by_code: Vec<Vec<u32>>,
    /// The first and last time of the selection.
    times: Range<TimestampMs>,
    selected: Vec<u32>,
    numbers: Cells<i128>,
    quotients: Cells<Quotient>,
    keys: Cells<Text>,
    known: Vec<Vec<u32>>,
}

impl Step {
    pub(crate) fn new(plan: &FoldPlan) -> Self {
        Self {
            stores: plan.tags.iter().map(TagStore::new).collect(),
            texts: Texts::default(),
            out_of_range: vec![0; plan.tags.len()],
            by_code: vec![Vec::new(); plan.by_code.len()],
            times: 0..0,
            selected: Vec::new(),
            numbers: Cells::default(),
            quotients: Cells::default(),
            keys: Cells::default(),
            known: vec![Vec::new(); plan.columns.iter().count()],
        }
    }

    /// Sorts some rows of a batch by event code: the first part of a step.
    pub(crate) fn select(&mut self, plan: &FoldPlan, batch: &EventBatch<'_>, rows: &[u32]) {
        self.known.iter_mut().for_each(Vec::clear);
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
        self.times = earliest..latest;
    }

    /// The picks of the last selection that a group may look at, with the group's number.
    pub(crate) fn groups<'a>(
        &'a self,
        plan: &'a FoldPlan,
    ) -> impl Iterator<Item = (usize, &'a [u32])> {
        let with_picks = self.by_code.iter().zip(&plan.by_code).filter(|(all, _)| !all.is_empty());
        with_picks.flat_map(|(all, groups)| groups.iter().map(|group| (*group, all.as_slice())))
    }

    /// Takes in what was selected.
    pub(crate) fn take_in(
        &mut self,
        plan: &FoldPlan,
        batch: &EventBatch<'_>,
        rows: &[u32],
        slots: &impl Slots,
    ) {
        let by_code = std::mem::take(&mut self.by_code);
        for (all, groups) in by_code.iter().zip(&plan.by_code).filter(|(all, _)| !all.is_empty()) {
            for number in groups {
                let group = &plan.groups[*number];
                let window = slots.window(*number);
                let mut selected = std::mem::take(&mut self.selected);
                selected.clear();
                let all_in_window = window.start <= self.times.start && self.times.end < window.end;
                let picks = if all_in_window && group.filter.is_none() {
                    all
                } else {
                    selected.extend(all.iter().copied().filter(|pick| {
                        let row = rows[*pick as usize];
                        (all_in_window || window.contains(&batch.stamps.time_ms(row)))
                            && group
                                .filter
                                .as_ref()
                                .is_none_or(|filter| filter.holds(&batch.rows.at(row as usize)))
                    }));
                    &selected
                };
                if !picks.is_empty() {
                    let selection = Selection { batch, rows, slots: slots.of_rows(*number) };
                    for values in &group.values {
                        let count = slots.len(*number);
                        values.all_tags().for_each(|tag| self.stores[tag].grow(count));
                        self.step_values(values, picks, &selection);
                    }
                }
                self.selected = selected;
            }
        }
        self.by_code = by_code;
    }

    /// Forgets all states; texts too, of which the next batches may have others.
    pub(crate) fn clear(&mut self) {
        self.stores.iter_mut().for_each(TagStore::clear);
        self.texts = Texts::default();
    }

    fn step_values(&mut self, values: &ValueGroup, picks: &[u32], selection: &Selection<'_>) {
        let Some(expression) = &values.expression else {
            values
                .tags
                .iter()
                .for_each(|tag| count(&mut self.stores[*tag], picks, selection.slots));
            mark(&mut self.stores, &values.marks, picks, selection, |_| 0);
            return;
        };
        let spec = &values.spec;
        let (rows, slots, stamps) = (selection.rows, selection.slots, &selection.batch.stamps);
        let mut gather = Gather { selection, spec, texts: &mut self.texts, known: &mut self.known };
        if matches!(spec.value_type, ValueType::Text | ValueType::Set) {
            gather.texts(expression, picks, &mut self.keys);
            let (picks, keys) = (&self.keys.picks, &self.keys.keys);
            let input = Input { picks, keys, rows, slots, stamps };
            for tag in &values.tags {
                match &mut self.stores[*tag] {
                    TagStore::Texts(store) => store.step(&input, &self.texts),
                    store => count(store, input.picks, slots),
                }
            }
            let key = |at: usize| xxh3_64(self.texts.get(keys[at]).as_bytes());
            mark(&mut self.stores, &values.marks, picks, selection, key);
        } else if spec.quotients {
            let out_of_range = gather.quotients(expression, picks, &mut self.quotients);
            values.tags.iter().for_each(|tag| self.out_of_range[*tag] += out_of_range);
            let (picks, keys) = (&self.quotients.picks, &self.quotients.keys);
            let input = Input { picks, keys, rows, slots, stamps };
            for tag in &values.tags {
                match &mut self.stores[*tag] {
                    TagStore::Quotients(store) => store.step(&input, &self.texts),
                    store => count(store, input.picks, slots),
                }
            }
            let key = |at: usize| {
                let Quotient { top, bottom } = keys[at];
                xxh3_64(&[top.to_le_bytes(), bottom.to_le_bytes()].concat())
            };
            mark(&mut self.stores, &values.marks, picks, selection, key);
        } else {
            let out_of_range = gather.numbers(expression, picks, &mut self.numbers);
            values.tags.iter().for_each(|tag| self.out_of_range[*tag] += out_of_range);
            let (picks, keys) = (&self.numbers.picks, &self.numbers.keys);
            let input = Input { picks, keys, rows, slots, stamps };
            for tag in &values.tags {
                match &mut self.stores[*tag] {
                    TagStore::Numbers(store) => store.step(&input, &self.texts),
                    store => count(store, input.picks, slots),
                }
            }
            let key = |at: usize| xxh3_64(&keys[at].to_le_bytes());
            mark(&mut self.stores, &values.marks, picks, selection, key);
        }
    }
}

/// Notes that and when events came, for tags that look at their order; `key` gives what stands for
/// the value of the n-th pick.
fn mark(
    stores: &mut [TagStore],
    marks: &[Marks],
    picks: &[u32],
    selection: &Selection<'_>,
    key: impl Fn(usize) -> u64,
) {
    let stamps = &selection.batch.stamps;
    for Marks { tag, symbol } in marks {
        for (at, pick) in picks.iter().enumerate() {
            let row = selection.rows[*pick as usize];
            let slot = selection.slots[*pick as usize] as usize;
            match &mut stores[*tag] {
                TagStore::Sessions { gap_ms, slots } => {
                    slots[slot].step(stamps.time_ms(row), *gap_ms);
                }
                TagStore::Traces(slots) => {
                    let Stamp { time_ms, message_id } = stamps.stamp(row);
                    let (symbol, key) = (*symbol, key(at));
                    slots[slot].step(Mark { time_ms, id: id_hash(message_id), symbol, key });
                }
                _ => {}
            }
        }
    }
}

/// Counts values, whatever they are.
fn count(store: &mut TagStore, picks: &[u32], slots: &[u32]) {
    if let TagStore::Count(counts) = store {
        picks.iter().for_each(|pick| Count::add(&mut counts[slots[*pick as usize] as usize]));
    }
}

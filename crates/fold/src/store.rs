use crate::cell::{Cell, Natural};
use crate::input::Stamps;
use crate::partial::{
    AnyPartial, CellKind, Count, Distinct, Edge, Extreme, Finished, Frequency, Members, Order,
    Partial, Quotients, Sessions, Sketch, Stamp, Sum, Text, Trace,
};
use crate::plan::{PlannedKind, PlannedTag};
use crate::quotient::Quotient;
use crate::spec::Spec;
use crate::texts::Texts;
use taghouse_model::ValueType;
use taghouse_rules::AggregateFunction;

/// A tag's states, one a slot: partial aggregates of one kind side by side.
pub(crate) enum TagStore {
    Count(Vec<Count>),
    Numbers(Box<dyn Store<i128>>),
    Quotients(Box<dyn Store<Quotient>>),
    Texts(Box<dyn Store<Text>>),
    Sessions { gap_ms: i64, slots: Vec<Sessions> },
    Traces(Vec<Trace>),
}

/// Values to take in: `keys[i]` is of the event at `rows[picks[i]]`, whose state is in
/// the slot `slots[picks[i]]`.
pub(crate) struct Input<'a, K> {
    pub(crate) picks: &'a [u32],
    pub(crate) keys: &'a [K],
    pub(crate) rows: &'a [u32],
    pub(crate) slots: &'a [u32],
    pub(crate) stamps: &'a Stamps<'a>,
}

pub(crate) trait Store<K>: Send + Sync {
    fn grow(&mut self, slots: usize);
    fn step(&mut self, input: &Input<'_, K>, texts: &Texts);
    /// What a slot's state comes to; the state is gone then.
    fn take(&mut self, slot: usize, texts: &Texts) -> Finished<K>;
    /// A slot's state over cells, `None` if it took nothing in; the state is gone then.
    fn take_cells(&mut self, slot: usize, texts: &Texts) -> Option<AnyPartial>;
    /// Forgets all slots.
    fn clear(&mut self);
}

/// Keys and how their values are ordered.
pub(crate) trait BatchKey: Copy {
    type Order: Order<Self>;
    fn order(texts: &Texts) -> &Self::Order;
    fn cell(self, texts: &Texts) -> Cell;
}

impl BatchKey for i128 {
    type Order = Natural;
    fn order(_: &Texts) -> &Natural {
        &Natural
    }
    fn cell(self, _: &Texts) -> Cell {
        Cell::Number(self)
    }
}

impl BatchKey for Quotient {
    type Order = Natural;
    fn order(_: &Texts) -> &Natural {
        &Natural
    }
    fn cell(self, _: &Texts) -> Cell {
        Cell::Quotient(self)
    }
}

impl BatchKey for Text {
    type Order = Texts;
    fn order(texts: &Texts) -> &Texts {
        texts
    }
    fn cell(self, texts: &Texts) -> Cell {
        Cell::Text(texts.get(self).into())
    }
}

struct PerSlot<P>(Vec<P>);

impl<K: BatchKey, P: Partial<K> + Send + Sync> Store<K> for PerSlot<P> {
    fn grow(&mut self, slots: usize) {
        if self.0.len() < slots {
            self.0.resize_with(slots, P::default);
        }
    }

    fn step(&mut self, input: &Input<'_, K>, texts: &Texts) {
        let order = K::order(texts);
        for (pick, key) in input.picks.iter().zip(input.keys) {
            let pick = *pick as usize;
            // Message ids are only looked at where order matters.
            let stamp = if P::ORDERED {
                input.stamps.stamp(input.rows[pick])
            } else {
                Stamp { time_ms: 0, message_id: "" }
            };
            self.0[input.slots[pick] as usize].step(stamp, *key, order);
        }
    }

    fn take(&mut self, slot: usize, texts: &Texts) -> Finished<K> {
        self.0
            .get_mut(slot)
            .map_or(Finished::Nothing, |state| std::mem::take(state).finish(K::order(texts)))
    }

    fn take_cells(&mut self, slot: usize, texts: &Texts) -> Option<AnyPartial> {
        std::mem::take(self.0.get_mut(slot)?).into_cells(|key| key.cell(texts))
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Different values of each slot, up to a bound.
struct Bounded<K> {
    bound: usize,
    slots: Vec<BoundedSlot<K>>,
}

enum BoundedSlot<K> {
    Exact(Members<K>),
    Estimated(Box<Sketch>),
}

impl<K> Default for BoundedSlot<K> {
    fn default() -> Self {
        Self::Exact(Members::default())
    }
}

impl<K: BatchKey + Ord> BoundedSlot<K> {
    fn step(&mut self, key: K, bound: usize, texts: &Texts) {
        match self {
            Self::Estimated(sketch) => sketch.step(&key.cell(texts)),
            Self::Exact(members) => {
                members.insert(key);
                if members.exceeds(bound) {
                    let mut sketch = Sketch::default();
                    members.iter().for_each(|key| sketch.step(&key.cell(texts)));
                    *self = Self::Estimated(Box::new(sketch));
                }
            }
        }
    }

    fn cells(self, bound: usize, texts: &Texts) -> Option<Distinct> {
        match self {
            Self::Estimated(sketch) => Some(Distinct::Estimated(*sketch)),
            Self::Exact(members) => {
                members.cells(|key| key.cell(texts)).map(|cells| Distinct::bounded(cells, bound))
            }
        }
    }
}

impl<K: BatchKey + Ord + Send + Sync> Store<K> for Bounded<K> {
    fn grow(&mut self, slots: usize) {
        grow(&mut self.slots, slots);
    }

    fn step(&mut self, input: &Input<'_, K>, texts: &Texts) {
        for (pick, key) in input.picks.iter().zip(input.keys) {
            let slot = input.slots[*pick as usize] as usize;
            self.slots[slot].step(*key, self.bound, texts);
        }
    }

    fn take(&mut self, slot: usize, texts: &Texts) -> Finished<K> {
        let Some(state) = self.slots.get_mut(slot) else { return Finished::Nothing };
        match std::mem::take(state).cells(self.bound, texts) {
            None => Finished::Nothing,
            Some(Distinct::Exact(members)) => Finished::Count(members.len() as u64),
            Some(Distinct::Estimated(sketch)) => Finished::Count(sketch.count()),
        }
    }

    fn take_cells(&mut self, slot: usize, texts: &Texts) -> Option<AnyPartial> {
        let state = std::mem::take(self.slots.get_mut(slot)?);
        state.cells(self.bound, texts).map(AnyPartial::Distinct)
    }

    fn clear(&mut self) {
        self.slots.clear();
    }
}

fn bounded<K>(bound: usize) -> Box<Bounded<K>> {
    Box::new(Bounded { bound, slots: Vec::new() })
}

fn store<P>() -> Box<PerSlot<P>> {
    Box::new(PerSlot(Vec::new()))
}

fn quotients(function: AggregateFunction) -> Box<dyn Store<Quotient>> {
    use AggregateFunction as F;
    match function {
        F::Sum | F::Avg => store::<Quotients>(),
        F::Min => store::<Extreme<Quotient, false>>(),
        F::Max => store::<Extreme<Quotient, true>>(),
        F::First => store::<Edge<Quotient, false>>(),
        F::Last => store::<Edge<Quotient, true>>(),
        F::Count | F::CountDistinct | F::Set => store::<Members<Quotient>>(),
        F::MostFrequent => store::<Frequency<Quotient>>(),
    }
}

impl TagStore {
    pub(crate) fn new(tag: &PlannedTag) -> Self {
        match &tag.kind {
            PlannedKind::Aggregate(spec) => Self::of_aggregate(spec),
            PlannedKind::Session(session) => {
                Self::Sessions { gap_ms: session.gap_ms, slots: Vec::new() }
            }
            PlannedKind::State(_) | PlannedKind::Sequence { .. } => Self::Traces(Vec::new()),
        }
    }

    fn of_aggregate(spec: &Spec) -> Self {
        use AggregateFunction as F;
        if let Some(bound) = spec.exact_up_to {
            return match spec.form_cells() {
                CellKind::Quotient => Self::Quotients(bounded(bound)),
                CellKind::Text => Self::Texts(bounded(bound)),
                CellKind::Number => Self::Numbers(bounded(bound)),
            };
        }
        if spec.quotients && spec.function != F::Count {
            return Self::Quotients(quotients(spec.function));
        }
        let texts = matches!(spec.value_type, ValueType::Text | ValueType::Set);
        match (spec.function, texts) {
            (F::Count, _) => Self::Count(Vec::new()),
            (F::Sum | F::Avg, _) => Self::Numbers(store::<Sum>()),
            (F::Min, false) => Self::Numbers(store::<Extreme<i128, false>>()),
            (F::Max, false) => Self::Numbers(store::<Extreme<i128, true>>()),
            (F::First, false) => Self::Numbers(store::<Edge<i128, false>>()),
            (F::Last, false) => Self::Numbers(store::<Edge<i128, true>>()),
            (F::CountDistinct | F::Set, false) => Self::Numbers(store::<Members<i128>>()),
            (F::MostFrequent, false) => Self::Numbers(store::<Frequency<i128>>()),
            (F::Min, true) => Self::Texts(store::<Extreme<Text, false>>()),
            (F::Max, true) => Self::Texts(store::<Extreme<Text, true>>()),
            (F::First, true) => Self::Texts(store::<Edge<Text, false>>()),
            (F::Last, true) => Self::Texts(store::<Edge<Text, true>>()),
            (F::CountDistinct | F::Set, true) => Self::Texts(store::<Members<Text>>()),
            (F::MostFrequent, true) => Self::Texts(store::<Frequency<Text>>()),
        }
    }

    pub(crate) fn grow(&mut self, slots: usize) {
        match self {
            Self::Count(counts) if counts.len() < slots => {
                counts.resize_with(slots, Count::default)
            }
            Self::Count(_) => {}
            Self::Numbers(store) => store.grow(slots),
            Self::Quotients(store) => store.grow(slots),
            Self::Texts(store) => store.grow(slots),
            Self::Sessions { slots: all, .. } => grow(all, slots),
            Self::Traces(all) => grow(all, slots),
        }
    }

    /// A slot's state over cells, `None` if it took nothing in; the state is gone then.
    pub(crate) fn take_cells(&mut self, slot: usize, texts: &Texts) -> Option<AnyPartial> {
        match self {
            Self::Count(counts) => {
                let count = std::mem::take(counts.get_mut(slot)?);
                Partial::<i128>::into_cells(count, Cell::Number)
            }
            Self::Numbers(store) => store.take_cells(slot, texts),
            Self::Quotients(store) => store.take_cells(slot, texts),
            Self::Texts(store) => store.take_cells(slot, texts),
            Self::Sessions { gap_ms, slots } => {
                std::mem::take(slots.get_mut(slot)?).settled(*gap_ms).map(AnyPartial::Sessions)
            }
            Self::Traces(slots) => {
                std::mem::take(slots.get_mut(slot)?).settled().map(AnyPartial::Trace)
            }
        }
    }

    /// Forgets all slots.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Count(counts) => counts.clear(),
            Self::Numbers(store) => store.clear(),
            Self::Quotients(store) => store.clear(),
            Self::Texts(store) => store.clear(),
            Self::Sessions { slots, .. } => slots.clear(),
            Self::Traces(slots) => slots.clear(),
        }
    }
}

fn grow<S: Default>(all: &mut Vec<S>, slots: usize) {
    if all.len() < slots {
        all.resize_with(slots, S::default);
    }
}

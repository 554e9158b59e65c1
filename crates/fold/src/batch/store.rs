use super::input::Stamps;
use crate::cell::Natural;
use crate::partial::{
    Count, Edge, Extreme, Finished, Frequency, Members, Order, Partial, Quotients, Stamp, Sum, Text,
};
use crate::quotient::Quotient;
use crate::spec::Spec;
use crate::texts::Texts;
use taghouse_model::ValueType;
use taghouse_rules::AggregateFunction;

/// A tag's states, one a user: partial aggregates of one kind side by side.
pub(super) enum TagStore {
    Count(Vec<Count>),
    Numbers(Box<dyn Store<i128>>),
    Quotients(Box<dyn Store<Quotient>>),
    Texts(Box<dyn Store<Text>>),
}

/// Values to take in: `keys[i]` is of the event at `rows[picks[i]]` of the user `users[picks[i]]`.
pub(super) struct Input<'a, K> {
    pub(super) picks: &'a [u32],
    pub(super) keys: &'a [K],
    pub(super) rows: &'a [u32],
    pub(super) users: &'a [u32],
    pub(super) stamps: &'a Stamps<'a>,
}

pub(super) trait Store<K>: Send {
    fn grow(&mut self, users: usize);
    fn step(&mut self, input: &Input<'_, K>, texts: &Texts);
    /// What a user's state comes to; the state is gone then.
    fn take(&mut self, user: usize, texts: &Texts) -> Finished<K>;
}

/// Keys and how their values are ordered.
pub(super) trait BatchKey: Copy {
    type Order: Order<Self>;
    fn order(texts: &Texts) -> &Self::Order;
}

impl BatchKey for i128 {
    type Order = Natural;
    fn order(_: &Texts) -> &Natural {
        &Natural
    }
}

impl BatchKey for Quotient {
    type Order = Natural;
    fn order(_: &Texts) -> &Natural {
        &Natural
    }
}

impl BatchKey for Text {
    type Order = Texts;
    fn order(texts: &Texts) -> &Texts {
        texts
    }
}

struct PerUser<P>(Vec<P>);

impl<K: BatchKey, P: Partial<K> + Send> Store<K> for PerUser<P> {
    fn grow(&mut self, users: usize) {
        if self.0.len() < users {
            self.0.resize_with(users, P::default);
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
            self.0[input.users[pick] as usize].step(stamp, *key, order);
        }
    }

    fn take(&mut self, user: usize, texts: &Texts) -> Finished<K> {
        self.0
            .get_mut(user)
            .map_or(Finished::Nothing, |state| std::mem::take(state).finish(K::order(texts)))
    }
}

fn store<P>() -> Box<PerUser<P>> {
    Box::new(PerUser(Vec::new()))
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
    pub(super) fn new(spec: &Spec) -> Self {
        use AggregateFunction as F;
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

    pub(super) fn grow(&mut self, users: usize) {
        match self {
            Self::Count(counts) if counts.len() < users => {
                counts.resize_with(users, Count::default)
            }
            Self::Count(_) => {}
            Self::Numbers(store) => store.grow(users),
            Self::Quotients(store) => store.grow(users),
            Self::Texts(store) => store.grow(users),
        }
    }
}

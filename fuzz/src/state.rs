//! What the stream keeps of a user: states of every function, and of an attribute. Merged, trimmed
//! and asked, whatever the bytes.

use arrow::array::RecordBatch;
use jiff::tz::TimeZone;
use std::sync::{Arc, LazyLock};
use taghouse_fold::{
    AttributeFold, AttributeRow, Calendar, ColumnBuilder, EventBatch, FoldPlan, TileFold,
};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{Aggregate, AggregateFunction as F, EventTag, Window, parse_scalar};

const DAY_MS: i64 = 86_400_000;
const NOW_MS: i64 = 20_000 * DAY_MS;

const DECIMAL: ValueType = ValueType::Decimal { scale: 2 };

fn types(name: &str) -> Option<ValueType> {
    match name {
        "price" => Some(DECIMAL),
        "sku" => Some(ValueType::Text),
        _ => None,
    }
}

static PLAN: LazyLock<Arc<FoldPlan>> = LazyLock::new(|| {
    let tags = [
        (F::Count, None, ValueType::Int),
        (F::Sum, Some("price"), DECIMAL),
        (F::Avg, Some("price / 3"), DECIMAL),
        (F::Min, Some("price"), DECIMAL),
        (F::Max, Some("sku"), ValueType::Text),
        (F::First, Some("sku"), ValueType::Text),
        (F::Last, Some("price / 7"), DECIMAL),
        (F::CountDistinct, Some("sku"), ValueType::Int),
        (F::Set, Some("sku"), ValueType::Set),
        (F::MostFrequent, Some("sku"), ValueType::Text),
    ];
    let scalar = |text: &str| {
        let parsed = parse_scalar(text).expect("an expression");
        parsed.check(&types, &TimeZone::UTC).expect("of these names").0
    };
    let aggregate = |(function, value, ty): (F, Option<&str>, ValueType)| {
        let (events, value) = (Vec::new(), value.map(scalar));
        let window = Window::Days(30);
        (Aggregate { function, events, value, filter: None, window, exact_up_to: None }, ty)
    };
    let tags: Vec<(Aggregate, ValueType)> = tags.into_iter().map(aggregate).collect();
    let tags: Vec<(EventTag<'_>, ValueType)> =
        tags.iter().map(|(aggregate, ty)| (EventTag::Aggregate(aggregate), *ty)).collect();
    let calendar = Calendar::new(&TimeZone::UTC);
    Arc::new(FoldPlan::new(&tags, &types, &calendar).expect("functions that go with the values"))
});

/// The first byte says of which tag, the second where the first of two states ends.
pub fn read(data: &[u8]) {
    let [which, split, data @ ..] = data else { return };
    let (state, more) = data.split_at(data.len().min(usize::from(*split)));
    let tag = usize::from(*which) % (PLAN.tags() + 1);
    if tag == PLAN.tags() {
        let fold = AttributeFold::new(ValueType::Int, &Calendar::new(&TimeZone::UTC));
        let _ = fold.merge(state, more).map(|merged| fold.outcome(&merged));
        return;
    }
    let tag = PLAN.tag(tag);
    for state in [state, more] {
        let _ = (tag.outcome(state, NOW_MS), tag.next_change(state, NOW_MS));
        let _ = tag.look(state, NOW_MS);
        let _ = tag.trim(&mut state.to_vec(), NOW_MS);
    }
    if let Ok(merged) = tag.merge(state, more) {
        let again = tag.merge(&merged, &[]).expect("what was written is read");
        assert_eq!(again, merged);
        let _ = tag.outcome(&merged, NOW_MS);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut fold = TileFold::new(PLAN.clone());
    let batch = events();
    let rows: Vec<u32> = (0..batch.num_rows() as u32).collect();
    let users: Vec<u32> = rows.iter().map(|row| row % 2).collect();
    let bound = EventBatch::new(&PLAN, &batch).expect("all columns");
    fold.step_batch(&bound, &rows, &users);
    let mut seeds = Vec::new();
    for (tag, deltas) in fold.take().iter().enumerate() {
        let states: Vec<&[u8]> = deltas.iter().map(|(_, state)| state).collect();
        let both = states.concat();
        seeds.push([&[tag as u8, states.first().map_or(0, |s| s.len() as u8)], &both[..]].concat());
    }
    let row = AttributeRow { time_ms: NOW_MS, message_id: "m", value: Some("41") };
    let state = AttributeFold::state(row);
    seeds.push([&[PLAN.tags() as u8, state.len() as u8], &state[..], &state[..]].concat());
    seeds
}

fn events() -> RecordBatch {
    let rows = 0..12_i64;
    let column = |ty, of: &dyn Fn(i64) -> Value| {
        let mut builder = ColumnBuilder::new(ty);
        rows.clone().for_each(|row| builder.push(Some(&of(row))));
        builder.finish()
    };
    let price = |row: i64| Value::Decimal(rust_decimal::Decimal::new(row * 37 - 99, 2));
    let columns = [
        ("event", column(ValueType::Text, &|_| Value::text("e"))),
        ("time", column(ValueType::Time, &|row| Value::Time(NOW_MS - row * DAY_MS * 2))),
        ("message_id", column(ValueType::Text, &|row| Value::text(&format!("m{row}")))),
        ("price", column(DECIMAL, &price)),
        ("sku", column(ValueType::Text, &|row| Value::text(&format!("s{}", row % 5)))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

//! How many steps a second one core takes: `cargo run --release -p taghouse-fold --example steps`.
//! First as of one time, then by tiles with the states of users kept as bytes, as the stream does.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use std::sync::Arc;
use std::time::Instant;
use taghouse_fold::{
    BatchFold, BatchPlan, Calendar, ColumnBuilder, EventBatch, FoldPlan, TileFold,
};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{
    Aggregate, AggregateFunction as F, EventTag, Window, parse_predicate, parse_scalar,
};

const USERS: u64 = 100_000;
const BATCHES: u64 = 300;
const ROWS: u64 = 8192;
const DAY_MS: i64 = 86_400_000;

fn types(name: &str) -> Option<ValueType> {
    match name {
        "quantity" => Some(ValueType::Int),
        "price" => Some(ValueType::Decimal { scale: 4 }),
        "sku" => Some(ValueType::Text),
        "time" => Some(ValueType::Time),
        _ => None,
    }
}

fn batch(number: u64) -> RecordBatch {
    let rows =
        || (0..ROWS).map(move |i| (number * ROWS + i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20);
    let column = |ty, of: &dyn Fn(u64) -> Value| {
        let mut builder = ColumnBuilder::new(ty);
        rows().for_each(|row| builder.push(Some(&of(row))));
        builder.finish()
    };
    let time = |row: u64| (number as i64 * DAY_MS) + (row % 86_400_000) as i64;
    let columns = [
        (
            "event",
            column(ValueType::Text, &|row| Value::text(["purchase", "view"][(row % 2) as usize])),
        ),
        ("time", column(ValueType::Time, &|row| Value::Time(time(row)))),
        (
            "message_id",
            column(ValueType::Text, &|row| Value::text(&format!("file-{number}:{row}"))),
        ),
        ("quantity", column(ValueType::Int, &|row| Value::Int((row % 9) as i64))),
        (
            "price",
            column(ValueType::Decimal { scale: 4 }, &|row| {
                Value::Decimal(Decimal::new((row % 99_999) as i64, 4))
            }),
        ),
        ("sku", column(ValueType::Text, &|row| Value::text(&format!("sku-{}", row % 4000)))),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns.into_iter().map(|(_, array)| array).collect(),
    )
    .unwrap()
}

fn aggregate(function: F, value: Option<&str>, filter: Option<&str>, window: Window) -> Aggregate {
    let scalar = |text| parse_scalar(text).unwrap().check(&types, &TimeZone::UTC).unwrap().0;
    let filter = filter.map(|text| {
        parse_predicate(text).unwrap().check(&types, &|_| false, &TimeZone::UTC).unwrap()
    });
    let value = value.map(scalar);
    Aggregate { function, events: Vec::new(), value, filter, window, exact_up_to: None }
}

fn main() {
    let batches: Vec<RecordBatch> = (0..BATCHES).map(batch).collect();
    let users: Vec<Vec<u32>> = (0..BATCHES)
        .map(|b| {
            (0..ROWS)
                .map(|i| ((b * ROWS + i).wrapping_mul(0xD134_2543_DE82_EF95) >> 30) % USERS)
                .map(|u| u as u32)
                .collect()
        })
        .collect();
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    let decimal = ValueType::Decimal { scale: 4 };
    let (all, month) = (Window::Lifetime, Window::Days(30));
    let cases = [
        ("count", vec![(aggregate(F::Count, None, None, all), ValueType::Int)]),
        (
            "count where quantity > 3",
            vec![(aggregate(F::Count, None, Some("quantity > 3"), all), ValueType::Int)],
        ),
        ("count 30d", vec![(aggregate(F::Count, None, None, month), ValueType::Int)]),
        ("sum price", vec![(aggregate(F::Sum, Some("price"), None, all), decimal)]),
        (
            "sum quantity * price",
            vec![(aggregate(F::Sum, Some("quantity * price"), None, all), decimal)],
        ),
        (
            "sum quantity * price + 1 (row by row)",
            vec![(aggregate(F::Sum, Some("quantity * price + 1"), None, all), decimal)],
        ),
        ("max time", vec![(aggregate(F::Max, Some("time"), None, all), ValueType::Time)]),
        (
            "count_distinct sku",
            vec![(aggregate(F::CountDistinct, Some("sku"), None, all), ValueType::Int)],
        ),
        (
            "most_frequent sku",
            vec![(aggregate(F::MostFrequent, Some("sku"), None, all), ValueType::Text)],
        ),
        ("last sku", vec![(aggregate(F::Last, Some("sku"), None, all), ValueType::Text)]),
    ];
    for (name, tags) in cases {
        let tags: Vec<(EventTag<'_>, ValueType)> =
            tags.iter().map(|(aggregate, ty)| (EventTag::Aggregate(aggregate), *ty)).collect();
        let plan = Arc::new(
            BatchPlan::new(&tags, &types, &Calendar::new(&TimeZone::UTC), BATCHES as i64 * DAY_MS)
                .unwrap(),
        );
        let mut fold = BatchFold::new(plan.clone());
        let begun = Instant::now();
        for (batch, users) in batches.iter().zip(&users) {
            fold.step_batch(&EventBatch::new(&plan, batch).unwrap(), &rows, users);
        }
        let (stepped, million) = (begun.elapsed(), (BATCHES * ROWS) as f64 / 1e6);
        let begun = Instant::now();
        let values = fold.finish(USERS as usize);
        let users = values.iter().map(|v| v.array.len() - v.array.null_count()).sum::<usize>();
        println!(
            "{name:40} {:8.1} M steps/s, {users} values in {:?}",
            million / stepped.as_secs_f64(),
            begun.elapsed()
        );
    }
    stream(&batches, &users, &rows);
}

/// The stream's part: micro-batches into states, a count and a sum of each of two events.
fn stream(batches: &[RecordBatch], users: &[Vec<u32>], rows: &[u32]) {
    let window = Window::Days(30);
    let of = |function, value, event: &str| Aggregate {
        events: vec![event.to_owned()],
        ..aggregate(function, value, None, window)
    };
    let tags = [
        (of(F::Count, None, "purchase"), ValueType::Int),
        (of(F::Sum, Some("price"), "purchase"), ValueType::Decimal { scale: 4 }),
        (of(F::Count, None, "view"), ValueType::Int),
        (of(F::Sum, Some("price"), "view"), ValueType::Decimal { scale: 4 }),
    ];
    let tags: Vec<(EventTag<'_>, ValueType)> =
        tags.iter().map(|(a, ty)| (EventTag::Aggregate(a), *ty)).collect();
    let calendar = Calendar::new(&TimeZone::UTC);
    let plan = Arc::new(FoldPlan::new(&tags, &types, &calendar).unwrap());
    let mut fold = TileFold::new(plan.clone());
    let mut states = vec![vec![Vec::new(); USERS as usize]; tags.len()];
    let (mut merged, mut bytes) = (0_u64, 0);
    let begun = Instant::now();
    for (number, (batch, users)) in batches.iter().zip(users).enumerate() {
        fold.step_batch(&EventBatch::new(&plan, batch).unwrap(), rows, users);
        let now_ms = (number as i64 + 1) * DAY_MS;
        for (tag, deltas) in fold.take().iter().enumerate() {
            for (user, more) in deltas.iter() {
                let state: &mut Vec<u8> = &mut states[tag][user as usize];
                *state = plan.tag(tag).merge(state, more).unwrap();
                plan.tag(tag).trim(state, now_ms).unwrap();
                plan.tag(tag).outcome(state, now_ms).unwrap();
                merged += 1;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    states.iter().flatten().for_each(|state| bytes += state.len());
    println!(
        "stream: {:.2} M events/s, {:.2} M states merged/s, {:.0} bytes a state",
        (BATCHES * ROWS) as f64 / 1e6 / seconds,
        merged as f64 / 1e6 / seconds,
        bytes as f64 / (USERS as usize * tags.len()) as f64
    );
}

//! How many steps a second one core takes in batches: `cargo run --release -p taghouse-fold
//! --example steps`.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use std::sync::Arc;
use std::time::Instant;
use taghouse_fold::{BatchFold, BatchPlan, Calendar, ColumnBuilder, EventBatch};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{Aggregate, AggregateFunction as F, Window, parse_predicate, parse_scalar};

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
    Aggregate { function, events: Vec::new(), value: value.map(scalar), filter, window }
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
        let tags: Vec<(&Aggregate, ValueType)> =
            tags.iter().map(|(aggregate, ty)| (aggregate, *ty)).collect();
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
}

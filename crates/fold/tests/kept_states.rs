//! States that an earlier release has written are read by this one: the bytes of each kind of tag are
//! kept in `states/`, with their values. Where the bytes become others, `STATE_VERSION` is raised, so
//! that nobody reads the former ones as something else; then `UPDATE_STATES=1` writes the new file.
#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use taghouse_fold::{Calendar, ColumnBuilder, EventBatch, FoldPlan, STATE_VERSION, TileFold};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};

const DEFINITIONS: &str = r#"
{kind: app, id: shop, time_zone: Europe/London}
---
{kind: source, name: live, format: segment, properties: {sku: sku, qty: {column: qty, type: int}, price: {column: price, type: decimal, scale: 2}}}
---
{kind: tag, name: count_30d, type: int, aggregate: {events: [buy], function: count, window: 30d}}
---
{kind: tag, name: count_24h, type: int, aggregate: {events: [buy], function: count, window: 24h}}
---
{kind: tag, name: count_90m, type: int, aggregate: {function: count, window: 90m}}
---
{kind: tag, name: sum_ever, type: decimal, aggregate: {events: [buy], function: sum, value: qty * price}}
---
{kind: tag, name: third_5d, type: decimal, scale: 3, aggregate: {events: [buy], function: sum, value: price / 3, window: 5d}}
---
{kind: tag, name: mean_7d, type: decimal, aggregate: {events: [buy], function: avg, value: price, window: 7d}}
---
{kind: tag, name: least, type: decimal, aggregate: {events: [buy], function: min, value: price}}
---
{kind: tag, name: first_sku, type: enum, aggregate: {function: first, value: sku}}
---
{kind: tag, name: last_sku, type: enum, aggregate: {function: last, value: sku, window: 30d}}
---
{kind: tag, name: skus, type: int, aggregate: {function: count_distinct, value: sku}}
---
{kind: tag, name: about_skus, type: int, aggregate: {function: count_distinct, value: sku, exact_up_to: 100}}
---
{kind: tag, name: sku_set, type: set, aggregate: {function: set, value: sku, window: 30d}}
---
{kind: tag, name: usual_sku, type: enum, aggregate: {function: most_frequent, value: sku}}
---
{kind: tag, name: visits, type: int, session: {function: count, window: 30d}}
---
{kind: tag, name: lifecycle, type: enum, state: {initial: new, transitions: [{events: [buy], to: active}, {after: 5d, from: [active], to: idle}]}}
---
{kind: tag, name: bought_it, type: int, sequence: {steps: [{events: [view], same: sku}, {events: [buy], same: sku}], within: 2d, value: completions, window: 30d}}
"#;

/// 2026-03-28T12:00:00Z: a day before London's clocks change.
const START_MS: i64 = 1_774_699_200_000;
const HOUR_MS: i64 = 3_600_000;

/// Name, hours after the start, sku, number and price of each event.
const EVENTS: [(&str, i64, &str, i64, &str); 8] = [
    ("view", 0, "a", 1, "1.50"),
    ("buy", 1, "a", 2, "1.50"),
    ("buy", 20, "b", 1, "20.00"),
    ("view", 50, "c", 1, "3.33"),
    ("buy", 51, "c", 3, "3.33"),
    ("buy", 300, "a", 1, "1.45"),
    ("view", 310, "d", 1, "0.01"),
    ("buy", 311, "a", 10, "1.45"),
];

fn types(name: &str) -> Option<ValueType> {
    Some(match name {
        "event" | "sku" | "message_id" => ValueType::Text,
        "time" => ValueType::Time,
        "qty" => ValueType::Int,
        "price" => ValueType::Decimal { scale: 2 },
        _ => return None,
    })
}

fn batch() -> RecordBatch {
    let names = ["event", "time", "message_id", "sku", "qty", "price"];
    let column = |name: &&str| {
        let mut builder = ColumnBuilder::new(types(name).unwrap());
        for (number, (event, hours, sku, qty, price)) in EVENTS.iter().enumerate() {
            builder.push(Some(&match *name {
                "event" => Value::text(event),
                "time" => Value::Time(START_MS + hours * HOUR_MS),
                "message_id" => Value::text(&format!("m{number}")),
                "sku" => Value::text(sku),
                "qty" => Value::Int(*qty),
                _ => Value::Decimal(price.parse().unwrap()),
            }));
        }
        builder.finish()
    };
    let columns: Vec<_> = names.iter().map(column).collect();
    let field = |(name, column): (&&str, &arrow::array::ArrayRef)| {
        Field::new(*name, column.data_type().clone(), true)
    };
    let fields: Vec<Field> = names.iter().zip(&columns).map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn states_of_each_kind_are_read_as_they_were_written() {
    let file = DefinitionFile { path: "kept.yaml".to_owned(), text: DEFINITIONS.to_owned() };
    let definitions = Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap();
    let names: Vec<_> = definitions.tags.keys().cloned().collect();
    let tags: Vec<_> = definitions
        .tags
        .values()
        .map(|tag| (tag.kind.over_events().unwrap(), tag.value_type))
        .collect();
    let calendar = Calendar::new(&TimeZone::get("Europe/London").unwrap());
    let plan = Arc::new(FoldPlan::new(&tags, &types, &calendar).unwrap());

    let batch = batch();
    let rows: Vec<u32> = (0..EVENTS.len() as u32).collect();
    let mut fold = TileFold::new(plan.clone());
    fold.step_batch(&EventBatch::new(&plan, &batch).unwrap(), &rows, &vec![7; rows.len()]);
    let deltas = fold.take();
    let now_ms = START_MS + 320 * HOUR_MS;
    let value = |tag: usize, state: &[u8]| {
        format!("{:?}", plan.tag(tag).outcome(state, now_ms).unwrap().value())
    };

    let mut text = String::new();
    for (tag, name) in names.iter().enumerate() {
        let state: Vec<u8> = deltas[tag].iter().flat_map(|(_, state)| state.to_vec()).collect();
        writeln!(text, "{name} {} {}", hex(&state), value(tag, &state)).unwrap();
    }
    let kept =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/states/v{STATE_VERSION}.txt"));
    if std::env::var_os("UPDATE_STATES").is_some() {
        std::fs::write(&kept, &text).unwrap();
    }

    let before = std::fs::read_to_string(&kept).unwrap();
    let lines = |text: &str| -> BTreeMap<String, (String, String)> {
        let line = |line: &str| {
            let mut parts = line.splitn(3, ' ').map(str::to_owned);
            (parts.next().unwrap(), (parts.next().unwrap(), parts.next().unwrap()))
        };
        text.lines().map(line).collect()
    };
    let before = lines(&before);
    assert_eq!(before.len(), names.len());
    for (tag, name) in names.iter().enumerate() {
        let (state, kept_value) = &before[name.as_str()];
        assert_eq!(value(tag, &bytes(state)), *kept_value, "{name}: the value of a kept state");
    }
    assert_eq!(lines(&text), before, "other bytes: raise STATE_VERSION");
}

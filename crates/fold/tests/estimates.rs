//! Distinct counts beyond their bound: near the truth, and the same number in whatever order and
//! parts values come, in the batch and from states.
#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use jiff::tz::TimeZone;
use std::sync::Arc;
use taghouse_fold::{
    Absorb, BatchFold, BatchPlan, Calendar, ClosedTiles, ColumnReader, EventBatch, FoldPlan,
    TileFold,
};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{Aggregate, AggregateFunction, EventTag, Window, parse_scalar};

const DAY_MS: i64 = 86_400_000;
const AS_OF_MS: i64 = 30 * DAY_MS;

fn types(name: &str) -> Option<ValueType> {
    match name {
        "qty" => Some(ValueType::Int),
        "sku" => Some(ValueType::Text),
        _ => None,
    }
}

fn aggregate(value: &str, bound: u32) -> Aggregate {
    let (value, _) = parse_scalar(value).unwrap().check(&types, &TimeZone::UTC).unwrap();
    Aggregate {
        function: AggregateFunction::CountDistinct,
        events: Vec::new(),
        value: Some(value),
        filter: None,
        window: Window::Days(30),
        exact_up_to: Some(bound),
    }
}

/// Events of numbers, spread over 30 days; each is there twice.
fn events(numbers: impl Iterator<Item = i64> + Clone) -> RecordBatch {
    let numbers: Vec<i64> = numbers.clone().chain(numbers).collect();
    let times = numbers.iter().map(|n| n.rem_euclid(30) * DAY_MS * 1000);
    let skus = numbers.iter().map(|n| format!("sku-{n}"));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("event", Arc::new(StringArray::from(vec!["view"; numbers.len()]))),
        (
            "time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("+00:00")),
        ),
        ("sku", Arc::new(StringArray::from_iter_values(skus))),
        ("qty", Arc::new(Int64Array::from(numbers.clone()))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn batch_count(aggregate: &Aggregate, batches: &[RecordBatch]) -> i64 {
    let calendar = Calendar::new(&TimeZone::UTC);
    let tags = [(EventTag::Aggregate(aggregate), ValueType::Int)];
    let plan = Arc::new(BatchPlan::new(&tags, &types, &calendar, AS_OF_MS).unwrap());
    let mut fold = BatchFold::new(plan.clone());
    for batch in batches {
        let rows: Vec<u32> = (0..batch.num_rows() as u32).collect();
        let users = vec![0; rows.len()];
        fold.step_batch(&EventBatch::new(&plan, batch).unwrap(), &rows, &users);
    }
    let values = fold.finish(1);
    let reader = ColumnReader::new("tag", &values[0].array, ValueType::Int).unwrap();
    let Some(Value::Int(count)) = reader.value(0) else { panic!("a count expected") };
    count
}

fn state_of(plan: &Arc<FoldPlan>, batch: &RecordBatch) -> Vec<u8> {
    let mut fold = TileFold::new(plan.clone());
    let rows: Vec<u32> = (0..batch.num_rows() as u32).collect();
    let users = vec![0; rows.len()];
    fold.step_batch(&EventBatch::new(plan, batch).unwrap(), &rows, &users);
    let (_, state) = fold.take()[0].iter().next().map(|(u, s)| (u, s.to_vec())).unwrap();
    state
}

/// The states of the parts, merged in this order; their bytes and what they come to.
fn merged(aggregate: &Aggregate, parts: &[RecordBatch]) -> (Vec<u8>, i64) {
    let calendar = Calendar::new(&TimeZone::UTC);
    let tags = [(EventTag::Aggregate(aggregate), ValueType::Int)];
    let plan = Arc::new(FoldPlan::new(&tags, &types, &calendar).unwrap());
    let mut whole = Vec::new();
    for part in parts {
        whole = plan.tag(0).merge(&whole, &state_of(&plan, part)).unwrap();
    }
    let value = plan.tag(0).outcome(&whole, AS_OF_MS).unwrap().value();
    let Some(Value::Int(count)) = value else { panic!("a count expected") };
    (whole, count)
}

#[test]
fn estimates_are_near_and_do_not_depend_on_order_or_parts() {
    for (value, truth, bound) in
        [("sku", 20_000_i64, 1000_u32), ("qty", 20_000, 100), ("qty / 7", 5_000, 1000)]
    {
        let aggregate = aggregate(value, bound);
        let parts: Vec<RecordBatch> = (0..4)
            .map(|part| events((0..truth).filter(move |n| n % 4 == part)))
            .chain([events(truth - 500..truth)])
            .collect();
        let mut backwards = parts.clone();
        backwards.reverse();

        let in_batch = batch_count(&aggregate, &parts);
        let (state, of_states) = merged(&aggregate, &parts);
        let (other_state, _) = merged(&aggregate, &backwards);
        assert_eq!(of_states, in_batch, "{value}");
        assert_eq!(batch_count(&aggregate, &backwards), in_batch, "{value}");
        assert_eq!(state, other_state, "{value}");
        let off = (in_batch - truth).abs() as f64 / truth as f64;
        assert!(off < 0.06, "{value}: {in_batch} for {truth}");
        // What is kept is bounded, for each tile: by the registers, or by so many values.
        let of_tile = 4200.max(bound as usize * 12);
        assert!(state.len() < 30 * of_tile, "{} bytes", state.len());
        for end in (0..state.len()).step_by(977) {
            let calendar = Calendar::new(&TimeZone::UTC);
            let tags = [(EventTag::Aggregate(&aggregate), ValueType::Int)];
            let plan = FoldPlan::new(&tags, &types, &calendar).unwrap();
            let _ = plan.tag(0).outcome(&state[..end], AS_OF_MS);
        }
    }
}

#[test]
fn up_to_the_bound_it_is_exact() {
    let aggregate = aggregate("sku", 1000);
    let parts = [events(0..600), events(300..1000)];
    assert_eq!(batch_count(&aggregate, &parts), 1000);
    assert_eq!(merged(&aggregate, &parts).1, 1000);
    let over = [events(0..600), events(300..1001)];
    let estimate = batch_count(&aggregate, &over);
    assert_ne!(estimate, 1001, "an estimate that is exact by chance: take another number");
    assert_eq!(merged(&aggregate, &over).1, estimate);
}

/// The tiles that are over are merged once: what an event costs then hangs on the open tile.
#[test]
fn closed_tiles_are_merged_once() {
    for (values, bound) in [(20_000_i64, 100_000_u32), (20_000, 100)] {
        let aggregate = aggregate("sku", bound);
        let calendar = Calendar::new(&TimeZone::UTC);
        let tags = [(EventTag::Aggregate(&aggregate), ValueType::Int)];
        let plan = Arc::new(FoldPlan::new(&tags, &types, &calendar).unwrap());
        let tag = plan.tag(0);
        let mut state = state_of(&plan, &events(0..values));
        // Of the newest day, one that is known and one that is new.
        let more = state_of(&plan, &events([29, values / 30 * 30 + 29].into_iter()));
        let how = Absorb { as_of_ms: AS_OF_MS - 1, trims: true, compares: true };
        let mut closed = None;
        for round in 0..4 {
            let (mut plain, mut out) = (Vec::new(), Vec::new());
            let expected = tag.absorb(&state, &more, how, &mut plain, |_| ()).unwrap();
            let found =
                tag.absorb_beside(&state, &more, how, &mut out, &mut closed, |_| ()).unwrap();
            assert_eq!(out, plain);
            assert_eq!((found.before, found.now.outcome), (expected.before, expected.now.outcome));
            let kept = closed.as_ref().map_or(0, ClosedTiles::memory_bytes);
            assert!(kept > state.len() as u64, "round {round}: {kept} bytes are kept");
            state = out;
        }
    }
}

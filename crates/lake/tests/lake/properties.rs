//! Whatever is written and whatever is asked for: no row of interest is left out, no row comes
//! twice.

use crate::support::{House, collect, name, texts, times};
use arrow::array::{Array, AsArray, Int64Array, StringArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_lake::{Comparison, Table, layout};
use taghouse_model::{Value, ValueType};

/// (time in ms, number, text); days around 1970, texts longer than the bounds that manifests keep.
type Row = (i64, Option<i64>, Option<String>);

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let row = (
        -400_000_000i64..400_000_000,
        proptest::option::of(-5i64..5),
        proptest::option::of("[aéz]{0,3}|[y\u{10ffff}]{64,90}"),
    );
    proptest::collection::vec(proptest::collection::vec(row, 0..12), 0..5)
}

fn comparison() -> impl Strategy<Value = Comparison> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
    prop_oneof![Just(Less), Just(LessOrEqual), Just(Equal), Just(GreaterOrEqual), Just(Greater)]
}

fn holds(left: &Value, comparison: Comparison, right: &Value) -> bool {
    let order = left.cmp(right);
    match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Equal => order.is_eq(),
        Comparison::GreaterOrEqual => order.is_ge(),
        Comparison::Greater => order.is_gt(),
    }
}

async fn table_of(house: &House, batches: &[Vec<Row>]) -> Table {
    let properties = BTreeMap::from([(name("n"), ValueType::Int), (name("t"), ValueType::Text)]);
    let mut table = house.lake.ensure(&house.app, &layout::events(&properties)).await.unwrap();
    let mut id = 0;
    for rows in batches {
        let fixed = |t: &str| texts(rows.iter().map(|_| t.to_owned()));
        let ids = texts(rows.iter().map(|_| {
            id += 1;
            id.to_string()
        }));
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("user_id", fixed("u"), true),
            ("event", fixed("e"), true),
            ("time", times(rows.iter().map(|r| r.0)), true),
            ("message_id", ids, true),
            ("source", fixed("s"), true),
            ("received_at", times(rows.iter().map(|_| 0)), true),
            ("n", Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()), true),
            ("t", Arc::new(rows.iter().map(|r| r.2.as_deref()).collect::<StringArray>()), true),
        ]);
        table = match batch.unwrap() {
            empty if empty.num_rows() == 0 => table,
            batch => house.append(&table, batch).await,
        };
    }
    table
}

fn back(batches: &[RecordBatch]) -> BTreeMap<String, Row> {
    let mut all = BTreeMap::new();
    for b in batches {
        let (ids, time) = (
            b.column(0).as_string::<i32>(),
            b.column(1).as_primitive::<TimestampMicrosecondType>(),
        );
        let (n, t) = (b.column(2).as_primitive::<Int64Type>(), b.column(3).as_string::<i32>());
        for i in 0..b.num_rows() {
            let row = (
                time.value(i) / 1000,
                n.is_valid(i).then(|| n.value(i)),
                t.is_valid(i).then(|| t.value(i).to_owned()),
            );
            assert!(
                all.insert(ids.value(i).to_owned(), row).is_none(),
                "row {} comes twice",
                ids.value(i)
            );
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn pruning_leaves_out_no_row_of_interest(
        batches in rows(), partitions in 1usize..5,
        asked in (comparison(), -6i64..6), asked_text in (comparison(), "[aéyz]{0,2}"), asked_time in (comparison(), -400_000_000i64..400_000_000),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let house = House::new().await;
            let table = table_of(&house, &batches).await;
            let expected: BTreeMap<String, Row> = (1..).map(|i: i32| i.to_string()).zip(batches.into_iter().flatten()).collect();
            let columns = ["message_id", "time", "n", "t"];
            assert_eq!(back(&collect(table.scan(&columns).plan(partitions).await.unwrap()).await), expected);
            let conditions = [
                ("n", asked.0, Value::Int(asked.1)),
                ("t", asked_text.0, Value::text(&asked_text.1)),
                ("time", asked_time.0, Value::Time(asked_time.1)),
            ];
            for (column, comparison, value) in conditions {
                let scan = table.scan(&columns).compare(column, comparison, value.clone()).unwrap().plan(partitions).await.unwrap();
                let scanned = back(&collect(scan).await);
                for (id, row) in &expected {
                    let own = match column {
                        "n" => row.1.map(Value::Int),
                        "t" => row.2.as_deref().map(Value::text),
                        _ => Some(Value::Time(row.0)),
                    };
                    if own.is_some_and(|own| holds(&own, comparison, &value)) {
                        assert_eq!(scanned.get(id), Some(row), "{column} {comparison:?} {value} left out row {id}");
                    }
                }
            }
        });
    }
}

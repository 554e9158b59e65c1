//! Other engines read our tables: equal rows and sums after creating, appending, overwriting and
//! adding columns.

#[path = "../../../../tests/needs/mod.rs"]
mod needs;

use crate::support::{
    DAY_MS, DEC_1, House, collect, event_rows, name, properties, tag_rows, write,
};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, Int64Type};
use std::process::Command;
use taghouse_lake::{Table, layout};
use taghouse_model::{Value, ValueType};

/// `rows`, and for each column how many values it has; for whole numbers and decimals their sum
/// too.
async fn expected(table: &Table) -> serde_json::Value {
    let names: Vec<String> =
        table.arrow_schema().fields().iter().map(|f| f.name().clone()).collect();
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let batches = collect(table.scan(&columns).plan(2).await.unwrap()).await;
    let mut all = serde_json::Map::new();
    all.insert("rows".to_owned(), batches.iter().map(|b| b.num_rows()).sum::<usize>().into());
    for (i, name) in names.iter().enumerate() {
        let set: usize = batches.iter().map(|b| b.num_rows() - b.column(i).null_count()).sum();
        all.insert(format!("{name}.set"), set.into());
        let sum: Option<i128> = match table.arrow_schema().field(i).data_type() {
            arrow::datatypes::DataType::Int64 => Some(
                batches
                    .iter()
                    .flat_map(|b| {
                        b.column(i)
                            .as_primitive::<Int64Type>()
                            .iter()
                            .flatten()
                            .map(i128::from)
                            .collect::<Vec<_>>()
                    })
                    .sum(),
            ),
            arrow::datatypes::DataType::Decimal128(..) => Some(
                batches
                    .iter()
                    .flat_map(|b| {
                        b.column(i)
                            .as_primitive::<Decimal128Type>()
                            .iter()
                            .flatten()
                            .collect::<Vec<_>>()
                    })
                    .sum(),
            ),
            _ => None,
        };
        if let Some(units) = sum {
            all.insert(format!("{name}.sum"), units.to_string().into());
        }
    }
    serde_json::Value::Object(all)
}

async fn check(house: &House, python: &str, step: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/readers/read_tables.py");
    for name in house.lake.tables(&house.app).await.unwrap() {
        let table = house.table(&name).await;
        let expected = expected(&table).await;
        let catalog = house.folder.path().join("catalog.db");
        let output = Command::new(python)
            .args([
                script,
                "--catalog",
                catalog.to_str().unwrap(),
                "--app",
                house.app.as_str(),
                "--table",
                &name,
            ])
            .args(["--metadata", table.metadata_location(), "--folder", table.location()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{step}, {name}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut engines = 0;
        for line in text.lines() {
            let (engine, answer) = line.split_once(' ').unwrap();
            let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
            assert_eq!(answer, expected, "{step}: {engine} reads {name} otherwise");
            engines += 1;
        }
        assert!(engines >= 2, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_engines_read_the_same() {
    let Some(python) = needs::peers("other_engines_read_the_same") else { return };
    let house = House::new().await;
    let events = house.events().await;
    let tag =
        house.lake.ensure(&house.app, &layout::tag(&name("orders"), ValueType::Int)).await.unwrap();
    let set =
        house.lake.ensure(&house.app, &layout::tag(&name("labels"), ValueType::Set)).await.unwrap();
    assert_eq!(set.rows(), 0);
    let events = house.append(&events, event_rows(0, 300, DEC_1)).await;
    let events = house.append(&events, event_rows(300, 50, DEC_1 + DAY_MS)).await;
    for day in [DEC_1, DEC_1 + DAY_MS, DEC_1] {
        let files = write(&tag, vec![tag_rows(day, 20 + day % 7, day % 11)]).await;
        let mut commit = house.lake.begin(&house.app);
        commit.overwrite(&tag, &Value::Time(day), files).unwrap();
        commit.commit().await.unwrap();
    }
    check(&house, &python, "after appends and overwrites").await;

    let mut wider = properties();
    wider.insert(name("coupon"), ValueType::Text);
    let wide = house.lake.ensure(&house.app, &layout::events(&wider)).await.unwrap();
    assert_eq!(wide.rows(), events.rows());
    check(&house, &python, "after a column was added").await;
    house.append(&wide, event_rows(350, 50, DEC_1 + 2 * DAY_MS)).await;
    check(&house, &python, "after an append with the new column").await;

    for i in 0..40 {
        house.append(&wide, event_rows(400 + i, 1, DEC_1)).await;
    }
    let joined = house.lake.maintain(&house.app).await.unwrap();
    assert!(joined.joined_files >= 40, "{joined:?}");
    let events = house.table("events").await;
    assert!(events.snapshots().len() <= 33, "{}", events.snapshots().len());
    drop(events);
    check(&house, &python, "after small files were joined and snapshots expired").await;
    house.append(&wide, event_rows(440, 1, DEC_1)).await;
    check(&house, &python, "after an append to joined files").await;

    let decimal = layout::tag(&name("orders"), ValueType::Decimal { scale: 2 });
    let replaced = house
        .lake
        .ensure_derived(&house.app, &[decimal, layout::tag(&name("labels"), ValueType::Set)])
        .await
        .unwrap();
    assert_eq!((replaced[0].rows(), replaced[1].metadata_location()), (0, set.metadata_location()));
    check(&house, &python, "after a table was replaced").await;
    let whole = tag_rows(DEC_1, 7, 3);
    let prices =
        arrow::compute::cast(whole.column(2), &arrow::datatypes::DataType::Decimal128(38, 2))
            .unwrap();
    let columns = [
        ("as_of", whole.column(0).clone()),
        ("user_id", whole.column(1).clone()),
        ("value", prices),
    ];
    let files =
        write(&replaced[0], vec![arrow::array::RecordBatch::try_from_iter(columns).unwrap()]).await;
    let mut commit = house.lake.begin(&house.app);
    commit.overwrite(&replaced[0], &Value::Time(DEC_1), files).unwrap();
    commit.commit().await.unwrap();
    check(&house, &python, "after rows of the new type").await;

    let before = house.table("events").await;
    let (house, former) = house.moved("elsewhere");
    let tables = house.lake.tables(&house.app).await.unwrap().len();
    assert_eq!(house.lake.relocate(&house.app, &former).await.unwrap(), tables);
    assert_eq!(
        house.lake.relocate(&house.app, &former).await.unwrap(),
        0,
        "what is at its place stays"
    );
    check(&house, &python, "after the folder was moved").await;
    let after = house.table("events").await;
    assert_eq!((after.rows(), after.snapshots().len()), (before.rows(), before.snapshots().len()));
    for i in 0..40 {
        house.append(&after, event_rows(441 + i, 1, DEC_1)).await;
    }
    let joined = house.lake.maintain(&house.app).await.unwrap();
    assert!(joined.joined_files >= 40, "{joined:?}");
    check(&house, &python, "after the moved table went on").await;
}

use crate::support::{
    DAY_MS, DEC_1, House, collect, event_rows, instants, numbers, properties, quantities,
};
use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use taghouse_lake::{Comparison, layout};
use taghouse_model::{ErrorKind, Value};

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_went() {
    let house = House::new().await;
    let rows = event_rows(0, 100, DEC_1);
    let table = house.append(&house.events().await, rows.clone()).await;
    let names: Vec<String> = rows.schema().fields().iter().map(|f| f.name().clone()).collect();
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let scan = table.scan(&columns).plan(1).await.unwrap();
    let schema = scan.schema().clone();
    let back = concat_batches(&schema, &collect(scan).await).unwrap();
    assert_eq!(back.num_rows(), 100);
    for (i, column) in columns.iter().enumerate() {
        if *column == "labels" {
            // The element's name differs, the values do not.
            let (a, b) = (rows.column(i).as_list::<i32>(), back.column(i).as_list::<i32>());
            assert!((0..100).all(|r| a.is_valid(r) == b.is_valid(r)
                && (!a.is_valid(r) || a.value(r).as_ref() == b.value(r).as_ref())));
        } else {
            assert_eq!(rows.column(i), back.column(i), "{column}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_bounds_read_only_the_days_of_interest() {
    let house = House::new().await;
    let table = house.append(&house.events().await, event_rows(0, 240, DEC_1)).await;
    let files = async |after: i64, before: i64| {
        let scan = table
            .scan(&["time"])
            .after(after)
            .unwrap()
            .before(before)
            .unwrap()
            .plan(4)
            .await
            .unwrap();
        let count = scan.files();
        let times = instants(&collect(scan).await, "time");
        let (low, high) = (after.div_euclid(DAY_MS) * DAY_MS, before + DAY_MS);
        assert!(times.iter().all(|t| (low..high).contains(t)));
        let wanted =
            (0..240).map(|i| DEC_1 + i * 3_600_000).filter(|t| (after..before).contains(t));
        assert!(wanted.into_iter().all(|t| times.contains(&t)), "no row of interest is left out");
        count
    };
    assert_eq!(files(DEC_1 + DAY_MS, DEC_1 + 2 * DAY_MS).await, 1);
    assert_eq!(files(DEC_1 + DAY_MS, DEC_1 + 2 * DAY_MS + 1).await, 2);
    assert_eq!(
        files(DEC_1 + DAY_MS - 1, DEC_1 + 2 * DAY_MS).await,
        1,
        "the day's last event is at 23:00, the bounds know"
    );
    assert_eq!(files(0, DEC_1).await, 0);
    assert_eq!(files(i64::MIN / 2000, i64::MAX / 2000).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn column_statistics_prune() {
    let house = House::new().await;
    let mut layout = layout::events(&properties());
    // Columns that every row has are those with statistics.
    for column in &mut layout.columns {
        column.required |= ["quantity", "price", "due"].contains(&column.name.as_str());
    }
    let table = house.lake.ensure(&house.app, &layout).await.unwrap();
    let table = house.append(&table, event_rows(0, 240, DEC_1)).await;
    let cases: &[(&str, Comparison, Value, usize)] = &[
        ("quantity", Comparison::Equal, Value::Int(30), 1),
        ("quantity", Comparison::Less, Value::Int(24), 1),
        ("quantity", Comparison::LessOrEqual, Value::Int(24), 2),
        ("quantity", Comparison::Greater, Value::Int(239), 0),
        ("quantity", Comparison::GreaterOrEqual, Value::Int(239), 1),
        ("price", Comparison::GreaterOrEqual, Value::Decimal("240.0239".parse().unwrap()), 0),
        ("price", Comparison::GreaterOrEqual, Value::Decimal("239".parse().unwrap()), 1),
        ("price", Comparison::Equal, Value::Decimal("0.00005".parse().unwrap()), 0),
        ("due", Comparison::Less, Value::Date(1), 1),
        ("user_id", Comparison::Greater, Value::text("u9"), 0),
        ("user_id", Comparison::Equal, Value::text("u9"), 10),
        ("event", Comparison::Less, Value::text("p"), 0),
        ("user_id", Comparison::Equal, Value::Int(9), 0),
        ("message_id", Comparison::Equal, Value::text("file.csv:000000030"), 5),
        ("message_id", Comparison::Less, Value::text("file.csv:000000"), 0),
        ("message_id", Comparison::Greater, Value::text("file.csv:000000239"), 2),
        ("message_id", Comparison::Greater, Value::text("file.csv:0000010"), 0),
        ("sku", Comparison::Equal, Value::text("none"), 10),
    ];
    for (column, comparison, value, expected) in cases {
        let scan = table
            .scan(&[])
            .compare(column, *comparison, value.clone())
            .unwrap()
            .plan(1)
            .await
            .unwrap();
        assert_eq!(scan.files(), *expected, "{column} {comparison:?} {value}");
    }
    let scan = table
        .scan(&[])
        .any_of("quantity", vec![Value::Int(3), Value::Int(100)])
        .unwrap()
        .plan(1)
        .await
        .unwrap();
    assert_eq!(scan.files(), 2);
    assert_eq!(
        table.scan(&[]).is_set("properties").unwrap().plan(1).await.unwrap().files(),
        10,
        "nothing is known of it"
    );
    assert_eq!(table.scan(&[]).is_set("quantity").unwrap().plan(1).await.unwrap().files(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_share_the_rows_out_evenly() {
    let house = House::new().await;
    let table = house.append(&house.events().await, event_rows(0, 2400, DEC_1)).await;
    for wanted in [1, 2, 3, 7, 1000] {
        let scan = table.scan(&["quantity"]).plan(wanted).await.unwrap();
        assert_eq!(scan.partition_count(), wanted.min(100));
        let mut all = Vec::new();
        let mut sizes = Vec::new();
        for stream in scan.partitions() {
            let part = numbers(&crate::support::gather(stream).await, "quantity");
            sizes.push(part.len());
            all.extend(part);
        }
        all.sort_unstable();
        assert_eq!(all, (0..2400).collect::<Vec<_>>());
        let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        assert!(most - least <= 48, "{sizes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_without_columns_counts() {
    let house = House::new().await;
    let table = house.append(&house.events().await, event_rows(0, 100, DEC_1)).await;
    let batches = collect(table.scan(&[]).plan(2).await.unwrap()).await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
    let e = table.scan(&["sku", "skuu"]).plan(1).await.err().unwrap();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(e.to_string().contains("no column skuu: it has user_id, event"), "{e}");
    assert!(table.scan(&[]).compare("skuu", Comparison::Equal, Value::Int(1)).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_shared_by_row_groups() {
    let house = House::new().await;
    // Random-looking texts keep the file above the size that is cut; one day is one file.
    let table = house.events().await;
    let mut writer = table.writer();
    let mut state = 1u64;
    for chunk in 0..10i64 {
        let rows = 60_000;
        let words = (0..rows).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            format!(
                "{:016x}{:016x}{:016x}{:016x}",
                state,
                state.rotate_left(17),
                state.wrapping_mul(31),
                state ^ 0x9e37_79b9_7f4a_7c15
            )
        });
        let n = chunk * rows..(chunk + 1) * rows;
        let batch = RecordBatch::try_from_iter([
            ("user_id", crate::support::texts(words)),
            ("event", crate::support::texts(n.clone().map(|_| "x".to_owned()))),
            ("time", crate::support::times(n.clone().map(|_| DEC_1))),
            ("message_id", crate::support::texts(n.clone().map(|i| i.to_string()))),
            ("source", crate::support::texts(n.clone().map(|_| "x".to_owned()))),
            ("received_at", crate::support::times(n.clone().map(|_| DEC_1))),
            ("quantity", std::sync::Arc::new(arrow::array::Int64Array::from_iter_values(n))),
        ]);
        writer.write(batch.unwrap()).await.unwrap();
    }
    let files = writer.close().await.unwrap();
    assert_eq!(files.len(), 1);
    assert!(files[0].size_bytes() > 16 << 20, "{}", files[0].size_bytes());
    let mut commit = house.lake.begin(&house.app);
    commit.append(&table, files);
    let table = commit.commit().await.unwrap().remove(0);
    let scan = table.scan(&["quantity"]).plan(2).await.unwrap();
    assert_eq!((scan.files(), scan.partition_count()), (1, 2));
    let mut sizes = Vec::new();
    for stream in scan.partitions() {
        sizes.push(numbers(&crate::support::gather(stream).await, "quantity").len());
    }
    assert_eq!(sizes.iter().sum::<usize>(), 600_000);
    assert!(sizes.iter().all(|s| *s > 200_000), "{sizes:?}");
    assert_eq!(quantities(&table).await, (0..600_000).collect::<Vec<_>>());
}

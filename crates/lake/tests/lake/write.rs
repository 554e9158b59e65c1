use crate::support::{DAY_MS, DEC_1, House, event_rows, quantities, write};
use arrow::array::{
    Array, ArrayRef, DictionaryArray, Int32Array, StringArray, StringViewArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use taghouse_model::ErrorKind;

fn with(rows: &RecordBatch, column: &str, array: ArrayRef) -> RecordBatch {
    let schema = rows.schema();
    let columns = schema
        .fields()
        .iter()
        .filter(|f| f.name() != column)
        .map(|f| (f.name().clone(), rows.column_by_name(f.name()).unwrap().clone()));
    RecordBatch::try_from_iter_with_nullable(
        columns.chain([(column.to_owned(), array)]).map(|(n, a)| (n, a, true)),
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_to_the_file_of_their_day() {
    let house = House::new().await;
    let table = house.events().await;
    // Two interleaved batches before and after 1970 too.
    let files = write(
        &table,
        vec![
            event_rows(0, 48, DEC_1),
            event_rows(48, 48, DEC_1 + 3_600_000),
            event_rows(96, 48, -DAY_MS),
        ],
    )
    .await;
    let mut folders: Vec<&str> =
        files.iter().map(|f| f.path().split('/').rev().nth(1).unwrap()).collect();
    folders.sort_unstable();
    let expected = [
        "time_day=1969-12-31",
        "time_day=1970-01-01",
        "time_day=2011-12-01",
        "time_day=2011-12-02",
        "time_day=2011-12-03",
    ];
    assert_eq!(folders, expected);
    assert_eq!(files.iter().map(|f| f.rows()).collect::<Vec<_>>(), [24, 24, 47, 48, 1]);
    for file in &files {
        assert_eq!(std::fs::metadata(file.path()).unwrap().len(), file.size_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_mean_the_same_are_taken() {
    let house = House::new().await;
    let rows = event_rows(0, 4, DEC_1);
    let rows = with(
        &rows,
        "source",
        Arc::new(vec!["a", "b", "a", "b"].into_iter().collect::<DictionaryArray<Int32Type>>()),
    );
    let rows = with(&rows, "event", Arc::new(StringViewArray::from(vec!["p"; 4])));
    let rows = with(&rows, "quantity", Arc::new(Int32Array::from(vec![1, 2, 3, 4])));
    let rows = with(
        &rows,
        "received_at",
        Arc::new(TimestampMillisecondArray::from(vec![DEC_1; 4]).with_timezone("UTC")),
    );
    let table = house.append(&house.events().await, rows).await;
    assert_eq!(quantities(&table).await, [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_named() {
    let house = House::new().await;
    let table = house.events().await;
    let rows = event_rows(0, 2, DEC_1);
    let null: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    assert_eq!(null.null_count(), 1);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1", "2"]));
    let local: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![DEC_1; 2]));
    let cases = [
        (with(&rows, "event", null), "column event of table events is required"),
        (
            with(&rows, "quantity", text.clone()),
            "column quantity of table events is of Arrow type Int64, the batch has Utf8",
        ),
        (with(&rows, "colour", text), "table events has no column colour"),
        (with(&rows, "received_at", local), "column received_at"),
        (rows.project(&[0, 1]).unwrap(), "column time of table events is required"),
    ];
    for (batch, expected) in cases {
        let e = table.writer().write(batch).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
        assert!(e.to_string().contains(expected), "{e}");
    }
    assert!(house.objects(".parquet").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn discarded_files_are_gone() {
    let house = House::new().await;
    let table = house.events().await;
    let files = write(&table, vec![event_rows(0, 48, DEC_1)]).await;
    assert_eq!(house.objects(".parquet").len(), 2);
    house.lake.discard(files).await;
    assert!(house.objects(".parquet").is_empty());
}

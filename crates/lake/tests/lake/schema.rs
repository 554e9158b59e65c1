use crate::support::{DEC_1, House, collect, event_rows, name, properties};
use arrow::array::{Array, Int64Array};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use taghouse_lake::{Column, Partition, TableLayout, layout, layout_schema};
use taghouse_model::{ErrorKind, ValueType};

#[tokio::test(flavor = "multi_thread")]
async fn new_columns_are_null_in_old_rows() {
    let house = House::new().await;
    let old = house.append(&house.events().await, event_rows(0, 10, DEC_1)).await;
    let mut wider = properties();
    wider.insert(name("coupon"), ValueType::Text);
    wider.insert(name("points"), ValueType::Int);
    let table = house.lake.ensure(&house.app, &layout::events(&wider)).await.unwrap();
    assert_eq!(table.rows(), 10, "data survives");
    assert!(old.arrow_schema().field_with_name("points").is_err());
    let rows = event_rows(10, 5, DEC_1);
    let mut columns: Vec<_> = rows
        .schema()
        .fields()
        .iter()
        .map(|f| (f.name().clone(), rows.column_by_name(f.name()).unwrap().clone()))
        .collect();
    columns.push(("points".to_owned(), Arc::new(Int64Array::from(vec![7; 5]))));
    let table = house.append(&table, RecordBatch::try_from_iter(columns).unwrap()).await;
    let scanned =
        collect(table.scan(&["points", "quantity", "coupon"]).plan(1).await.unwrap()).await;
    let set: usize = scanned.iter().map(|b| b.num_rows() - b.column(0).null_count()).sum();
    let rows: usize = scanned.iter().map(RecordBatch::num_rows).sum();
    assert_eq!((rows, set), (15, 5));
    // Files that lack a column altogether.
    let only = collect(table.scan(&["coupon"]).plan(1).await.unwrap()).await;
    assert_eq!(only.iter().map(|b| b.column(0).null_count()).sum::<usize>(), 15);
    assert_eq!(
        house.lake.ensure(&house.app, &layout::events(&wider)).await.unwrap().metadata_location(),
        table.metadata_location()
    );
    // A layout that knows fewer columns drops none.
    let fewer = house.lake.ensure(&house.app, &layout::events(&properties())).await.unwrap();
    assert!(fewer.arrow_schema().field_with_name("points").is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_type_or_cut_is_refused() {
    let house = House::new().await;
    house.events().await;
    let mut other = properties();
    other.insert(name("quantity"), ValueType::Text);
    let e = house.lake.ensure(&house.app, &layout::events(&other)).await.err().unwrap();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(e.to_string().contains("column quantity of type long"), "{e}");
    let cut = TableLayout { partition: Partition::None, ..layout::events(&properties()) };
    let e = house.lake.ensure(&house.app, &cut).await.err().unwrap();
    assert!(e.to_string().contains("is cut by Day"), "{e}");
    let column =
        |name: &str| Column { name: name.to_owned(), value: ValueType::Time, required: true };
    let twice = TableLayout {
        name: "x".to_owned(),
        columns: vec![column("a"), column("A")],
        partition: Partition::None,
    };
    assert!(layout_schema(&twice).is_err());
    let shadow = TableLayout {
        name: "x".to_owned(),
        columns: vec![column("a"), column("a_day")],
        partition: Partition::Day("a".to_owned()),
    };
    assert!(layout_schema(&shadow).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_layouts_schema_is_the_tables() {
    let house = House::new().await;
    for layout in [
        layout::events(&properties()),
        layout::attributes(),
        layout::rejected_events(),
        layout::tag(&name("countries"), ValueType::Set),
        layout::users_wide(&properties()),
    ] {
        let table = house.lake.ensure(&house.app, &layout).await.unwrap();
        assert_eq!(table.arrow_schema(), &layout_schema(&layout).unwrap());
    }
    let five = ["attributes", "events", "rejected_events", "tag_countries", "users_wide"];
    assert_eq!(house.lake.tables(&house.app).await.unwrap(), five);
}

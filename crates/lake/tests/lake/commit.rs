use crate::support::{
    DAY_MS, DEC_1, House, event_rows, name, noted, numbers, quantities, tag_rows, write,
};
use serde_json::json;
use taghouse_catalog::Change;
use taghouse_lake::{Error, Upkeep, layout};
use taghouse_model::{ErrorKind, Value, ValueType};

fn summary(table: &taghouse_lake::Table, key: &str) -> u64 {
    table.snapshots().last().unwrap().summary.get(key).map_or(0, |v| v.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_add_up_and_the_summary_says_so() {
    let house = House::new().await;
    let events = house.events().await;
    assert_eq!((events.rows(), events.snapshot_id()), (0, None));
    let one = house.append(&events, event_rows(0, 100, DEC_1)).await;
    let two = house.append(&one, event_rows(100, 50, DEC_1 + 2 * DAY_MS)).await;
    assert_eq!(quantities(&two).await, (0..150).collect::<Vec<_>>());
    assert_eq!(quantities(&one).await, (0..100).collect::<Vec<_>>(), "a handle reads what it saw");
    assert_eq!(quantities(&events).await, Vec::<i64>::new());
    assert_eq!(two.rows(), 150);
    assert_eq!((summary(&two, "added-records"), summary(&two, "total-records")), (50, 150));
    assert_eq!((summary(&two, "added-data-files"), summary(&two, "total-data-files")), (3, 8));
    let bytes: u64 = house.objects(".parquet").iter().map(|p| p.metadata().unwrap().len()).sum();
    assert_eq!(summary(&two, "total-files-size"), bytes);
    let snapshots = two.snapshots();
    assert!(snapshots[0].at_ms < snapshots[1].at_ms);
    assert_eq!(snapshots[1].operation, "append");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_snapshot_stays_readable() {
    let house = House::new().await;
    let one = house.append(&house.events().await, event_rows(0, 10, DEC_1)).await;
    let two = house.append(&one, event_rows(10, 10, DEC_1)).await;
    let then =
        two.scan(&["quantity"]).at_snapshot(one.snapshot_id().unwrap()).plan(1).await.unwrap();
    assert_eq!(
        numbers(&crate::support::collect(then).await, "quantity"),
        (0..10).collect::<Vec<_>>()
    );
    let Err(e) = two.scan(&["quantity"]).at_snapshot(1).plan(1).await else {
        panic!("snapshot 1 is none")
    };
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn overwriting_replaces_one_partition_and_leaves_the_others() {
    let house = House::new().await;
    let tag =
        house.lake.ensure(&house.app, &layout::tag(&name("orders"), ValueType::Int)).await.unwrap();
    let days = [DEC_1, DEC_1 + DAY_MS];
    let mut table = tag.clone();
    for day in days {
        let files = write(&tag, vec![tag_rows(day, 10, 1)]).await;
        let mut commit = house.lake.begin(&house.app);
        commit.overwrite(&tag, &Value::Time(day), files).unwrap();
        table = commit.commit().await.unwrap().remove(0);
    }
    assert_eq!(
        table.partition_values().await.unwrap(),
        [(Value::Time(days[0]), 10), (Value::Time(days[1]), 10)]
    );

    let files = write(&tag, vec![tag_rows(days[0], 4, 100)]).await;
    let mut commit = house.lake.begin(&house.app);
    commit.overwrite(&tag, &Value::Time(days[0]), files).unwrap();
    let table = commit.commit().await.unwrap().remove(0);
    assert_eq!(
        table.partition_values().await.unwrap(),
        [(Value::Time(days[0]), 4), (Value::Time(days[1]), 10)]
    );
    let first =
        table.scan(&["value"]).partition(&Value::Time(days[0])).unwrap().plan(2).await.unwrap();
    assert_eq!(first.files(), 1);
    assert_eq!(numbers(&crate::support::collect(first).await, "value"), [0, 100, 200, 300]);
    assert_eq!(table.snapshots().last().unwrap().operation, "overwrite");
    assert_eq!(
        (
            summary(&table, "deleted-records"),
            summary(&table, "added-records"),
            summary(&table, "total-records")
        ),
        (10, 4, 14)
    );
    assert_eq!(
        (summary(&table, "deleted-data-files"), summary(&table, "total-data-files")),
        (1, 2)
    );

    let mut commit = house.lake.begin(&house.app);
    commit.overwrite(&table, &Value::Time(days[1]), Vec::new()).unwrap();
    let emptied = commit.commit().await.unwrap().remove(0);
    assert_eq!(emptied.partition_values().await.unwrap(), [(Value::Time(days[0]), 4)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_takes_only_its_own_files() {
    let house = House::new().await;
    let tag =
        house.lake.ensure(&house.app, &layout::tag(&name("orders"), ValueType::Int)).await.unwrap();
    let files = write(&tag, vec![tag_rows(DEC_1, 3, 1)]).await;
    let mut commit = house.lake.begin(&house.app);
    let wrong = commit.overwrite(&tag, &Value::Time(DEC_1 + 1), files.clone()).unwrap_err();
    assert!(matches!(wrong, Error::Invalid(ref m) if m.contains("another partition")), "{wrong}");
    let events = house.events().await;
    let none = commit.overwrite(&events, &Value::Time(DEC_1), Vec::new()).unwrap_err();
    assert!(
        none.to_string().contains("table events is not cut by the values of a column"),
        "{none}"
    );
    let mut commit = house.lake.begin(&house.app);
    commit.append(&events, files);
    assert_eq!(commit.commit().await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tables_and_pointers_change_in_one_transaction() {
    let house = House::new().await;
    let events = house.events().await;
    let rejected = house.lake.ensure(&house.app, &layout::attributes()).await.unwrap();
    let pointer = |expected| Change::PutPointer {
        kind: "batch".to_owned(),
        app: house.app.clone(),
        name: "web".to_owned(),
        expected,
        value: json!({"number": 1}),
    };
    let mut commit = house.lake.begin(&house.app);
    commit.append(&events, write(&events, vec![event_rows(0, 5, DEC_1)]).await);
    commit.append(&rejected, Vec::new());
    commit.summary("taghouse.log-position", "17");
    commit.also(pointer(None));
    let tables = commit.commit().await.unwrap();
    let of: Vec<_> =
        tables.iter().map(|t| (t.name(), t.rows(), noted(t, "taghouse.log-position"))).collect();
    assert_eq!(
        of,
        [("attributes", 0, Some("17".to_owned())), ("events", 5, Some("17".to_owned()))]
    );
    assert!(house.catalog.pointer("batch", &house.app, "web").await.unwrap().is_some());

    // A condition of the changes that came along fails: nothing happens, and the files go.
    let before = house.objects("").len();
    let mut commit = house.lake.begin(&house.app);
    commit.append(&events, write(&events, vec![event_rows(5, 5, DEC_1)]).await);
    commit.also(pointer(None));
    assert_eq!(commit.commit().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(house.objects("").len(), before);
    assert_eq!(house.table("events").await.rows(), 5);

    // Our properties hold on; others speak of their snapshot only.
    let mut commit = house.lake.begin(&house.app);
    commit.append(&events, write(&events, vec![event_rows(5, 5, DEC_1)]).await);
    commit.summary("batch", "2");
    let table = commit.commit().await.unwrap().remove(0);
    assert_eq!(noted(&table, "taghouse.log-position").as_deref(), Some("17"));
    let last = house.append(&table, event_rows(10, 1, DEC_1)).await;
    assert_eq!(last.snapshots().last().unwrap().summary.get("batch"), None);
    assert_eq!(noted(&last, "batch").as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_nothing_is_nothing() {
    let house = House::new().await;
    let events = house.events().await;
    let mut commit = house.lake.begin(&house.app);
    commit.append(&events, Vec::new());
    assert!(commit.commit().await.unwrap().is_empty());
    assert_eq!(house.table("events").await.snapshot_id(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_appends_keep_manifests_few_and_metadata_files_bounded() {
    let house = House::kept(
        crate::support::clock(),
        Upkeep { kept_snapshots: 130, grace_ms: 0, ..Upkeep::default() },
    )
    .await;
    let mut table = house.events().await;
    for i in 0..130 {
        table = house.append(&table, event_rows(i, 1, DEC_1 + i * DAY_MS)).await;
    }
    assert_eq!(quantities(&table).await, (0..130).collect::<Vec<_>>());
    assert_eq!((summary(&table, "total-records"), summary(&table, "total-data-files")), (130, 130));
    assert!(
        house.objects(".metadata.json").len() <= 21,
        "{}",
        house.objects(".metadata.json").len()
    );
    let lists: Vec<_> = house
        .objects(".avro")
        .into_iter()
        .filter(|p| p.to_str().unwrap().contains("/snap-"))
        .collect();
    let longest = lists.iter().map(|p| p.metadata().unwrap().len()).max().unwrap();
    let newest = lists
        .iter()
        .max_by_key(|p| p.metadata().unwrap().modified().unwrap())
        .unwrap()
        .metadata()
        .unwrap()
        .len();
    assert!(newest < longest / 2, "the newest list has {newest} bytes, the longest {longest}");
    let first = table.snapshots()[0].id;
    let then = table.scan(&["quantity"]).at_snapshot(first).plan(1).await.unwrap();
    assert_eq!(then.rows(), 1, "merging leaves older snapshots alone");
}

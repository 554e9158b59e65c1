//! Productions one after the other, at once, after a change of definitions, and after the
//! dictionary was lost.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/needs/copy_folder.rs"]
mod copy_folder;

use arrow::array::AsArray;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use copy_folder::copy_folder;
use futures::{FutureExt, StreamExt, TryStreamExt};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use taghouse_catalog::{Catalog, SqliteCatalog};
use taghouse_dictionary::Dictionary;
use taghouse_fold::{ColumnBuilder, SkipReason};
use taghouse_index::Index;
use taghouse_lake::{Lake, layout};
use taghouse_model::{AppId, Clock, ErrorKind, Name, TimestampMs, Value, ValueType};
use taghouse_produce::{Error, Produced, Producer};
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// 2023-07-01T00:00 in Berlin, two hours before that of UTC.
const MIDNIGHT: i64 = 1_688_162_400_000;

struct Still;

impl Clock for Still {
    fn now_ms(&self) -> TimestampMs {
        1_700_000_000_000
    }
}

struct House {
    app: AppId,
    lake: Arc<Lake>,
    index: Arc<Index>,
    dictionary: Arc<Dictionary>,
    producer: Arc<Producer>,
    scratch: PathBuf,
}

/// One purchase: the user, how many, and the price in cents.
type Purchase<'a> = (&'a str, i64, i64);

impl House {
    async fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder.join("objects")).unwrap();
        let store =
            object_store::local::LocalFileSystem::new_with_prefix(folder.join("objects")).unwrap();
        let catalog: Arc<dyn Catalog> =
            Arc::new(SqliteCatalog::open(&folder.join("catalog.db")).await.unwrap());
        let lake =
            Arc::new(Lake::open(catalog.clone(), &folder.join("lake"), Arc::new(Still)).unwrap());
        let index = Arc::new(Index::new(Arc::new(store), catalog.clone()));
        let dictionary = Arc::new(Dictionary::open(&folder.join("dictionary")).unwrap());
        let producer = Arc::new(Producer::new(
            catalog,
            lake.clone(),
            index.clone(),
            dictionary.clone(),
            folder.join("scratch"),
        ));
        let scratch = folder.join("scratch");
        Self { app: AppId::new("shop").unwrap(), lake, index, dictionary, producer, scratch }
    }

    async fn buy(&self, purchases: &[Purchase<'_>]) {
        let layout = layout::events(&definitions("").properties());
        let table = self.lake.ensure(&self.app, &layout).await.unwrap();
        let value =
            |column: &str, number: usize, (user, quantity, cents): Purchase<'_>| match column {
                "user_id" => Some(Value::text(user)),
                "event" => Some(Value::text("purchase")),
                "time" | "received_at" => Some(Value::Time(MIDNIGHT - DAY_MS)),
                "message_id" => Some(Value::text(&number.to_string())),
                "source" => Some(Value::text("shop")),
                "quantity" => Some(Value::Int(quantity)),
                "price" => Some(Value::Decimal(Decimal::new(cents, 2))),
                _ => None,
            };
        let columns = layout.columns.iter().map(|column| {
            let mut builder = ColumnBuilder::new(column.value);
            purchases
                .iter()
                .enumerate()
                .for_each(|(n, purchase)| builder.push(value(&column.name, n, *purchase).as_ref()));
            let array = builder.finish();
            (Field::new(&column.name, array.data_type().clone(), true), array)
        });
        let (fields, arrays): (Vec<_>, Vec<_>) = columns.unzip();
        let mut writer = table.writer();
        writer
            .write(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap())
            .await
            .unwrap();
        let mut commit = self.lake.begin(&self.app);
        commit.append(&table, writer.close().await.unwrap());
        commit.commit().await.unwrap();
    }

    async fn try_produce(
        &self,
        tags: &str,
        as_of_ms: i64,
        only: Option<&[Name]>,
    ) -> taghouse_produce::Result<Produced> {
        self.producer
            .produce(&self.app, &Arc::new(definitions(tags)), as_of_ms, only, &|_, _| ())
            .await
    }

    async fn produce(&self, tags: &str, as_of_ms: i64) -> Produced {
        let produced = self.try_produce(tags, as_of_ms, None).await.unwrap();
        assert_eq!(self.scratch(), 0, "a production leaves something in the scratch folder");
        produced
    }

    /// How much is in the scratch folder.
    fn scratch(&self) -> usize {
        std::fs::read_dir(&self.scratch).map_or(0, Iterator::count)
    }

    async fn value(&self, tag: &str, user: &str) -> Option<Value> {
        let snapshot = self.index.snapshot(&self.app).await.unwrap().unwrap();
        assert_eq!(snapshot.generation(), self.dictionary.generation(&self.app));
        let ordinal = self.dictionary.lookup(&self.app, &[user]).unwrap()[0].unwrap();
        snapshot.tag(tag).unwrap().unwrap().value_of(ordinal).unwrap()
    }

    async fn users(&self) -> u64 {
        self.index.snapshot(&self.app).await.unwrap().unwrap().users().len()
    }

    /// How many rows each as-of time has.
    async fn rows(&self, table: &str) -> Vec<(i64, u64)> {
        let values = self
            .lake
            .table(&self.app, table)
            .await
            .unwrap()
            .unwrap()
            .partition_values()
            .await
            .unwrap();
        values
            .into_iter()
            .map(
                |(value, rows)| {
                    if let Value::Time(ms) = value { (ms, rows) } else { panic!("{value}") }
                },
            )
            .collect()
    }

    async fn query(&self, query: &str) -> Vec<String> {
        let (_, batches) = self.lake.sql(&self.app, query, &[]).await.unwrap();
        let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
        let texts = batches
            .iter()
            .map(|b| arrow::compute::cast(b.column(0), &arrow::datatypes::DataType::Utf8).unwrap());
        texts
            .flat_map(|t| {
                t.as_string::<i32>()
                    .iter()
                    .map(|v| v.unwrap_or("null").to_owned())
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

fn definitions(tags: &str) -> Definitions {
    let base = "
kind: app
id: shop
time_zone: Europe/Berlin
---
kind: source
name: shop
format: csv
user_id: user
event: purchase
time: time
properties:
  quantity: { column: quantity, type: int }
  price: { column: price, type: decimal, scale: 2 }
";
    let file = DefinitionFile { path: "shop.yaml".to_owned(), text: format!("{base}{tags}") };
    Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap()
}

fn sum(name: &str, ty: &str, value: &str) -> String {
    format!(
        "---\n{{ kind: tag, name: {name}, type: {ty}, aggregate: {{ function: sum, value: \"{value}\" }} }}\n"
    )
}

/// The lake has them, no production has made a user of them, and the deletion comes after the lake
/// is read: it must not be too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_deleted_before_a_first_production_ends_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.buy(&[("ann", 1, 100), ("ben", 2, 100)]).await;
    let tags = Arc::new(definitions(&sum("worth", "int", "quantity")));
    let land = || {
        house.dictionary.note_deleted(&house.app, &["ben".to_owned()]);
        async { Ok(()) }.boxed()
    };
    house
        .producer
        .produce_landing(&house.app, &tags, MIDNIGHT, None, &|_, _| (), &land)
        .await
        .unwrap();
    assert_eq!((house.users().await, house.value("worth", "ann").await), (1, Some(Value::Int(1))));
    // What is deleted for good is in the lake; this was told to one production only.
    house.produce(&sum("worth", "int", "quantity"), MIDNIGHT).await;
    assert_eq!((house.users().await, house.value("worth", "ben").await), (2, Some(Value::Int(2))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn productions_at_once_follow_one_another_and_lose_no_user() {
    let folder = tempfile::tempdir().unwrap();
    let house = Arc::new(House::open(folder.path()).await);
    let tags = sum("pieces", "int", "quantity");
    let mut running = Vec::new();
    for round in 0..5 {
        house.buy(&[(&format!("u{round}"), 1, 100), (&format!("v{round}"), 2, 100)]).await;
        let (house, tags) = (house.clone(), tags.clone());
        running.push(tokio::spawn(async move { house.produce(&tags, MIDNIGHT).await }));
    }
    let mut revisions = Vec::new();
    for production in running {
        let produced = production.await.unwrap();
        revisions.push((produced.revision, produced.users));
    }
    revisions.sort_unstable();
    assert_eq!(
        revisions.iter().map(|(revision, _)| *revision).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert!(revisions.is_sorted_by_key(|(_, users)| *users), "a later one saw less: {revisions:?}");
    assert_eq!(house.users().await, 10);
    assert_eq!(house.rows("tag_pieces").await, [(MIDNIGHT, 10)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_may_change_its_type() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.buy(&[("a", 3, 250), ("b", 1, 101)]).await;
    let others = sum("spend", "decimal", "price");
    house
        .produce(&format!("{}{others}", sum("worth", "int", "quantity")), MIDNIGHT - HOUR_MS)
        .await;
    house.produce(&format!("{}{others}", sum("worth", "int", "quantity")), MIDNIGHT).await;
    assert_eq!(house.value("worth", "a").await, Some(Value::Int(3)));
    let before = house.lake.table(&house.app, "tag_worth").await.unwrap().unwrap();

    house
        .produce(&format!("{}{others}", sum("worth", "decimal", "quantity * price")), MIDNIGHT)
        .await;
    assert_eq!(house.value("worth", "a").await, Some(Value::Decimal(Decimal::new(750, 2))));
    assert_eq!(house.query("SELECT value FROM tag_worth ORDER BY user_id").await, ["7.50", "1.01"]);
    assert_eq!(
        house.query("SELECT worth FROM users_wide ORDER BY user_id").await,
        ["7.50", "1.01"]
    );
    assert_eq!(
        house.query("SELECT count(*) FROM tag_spend").await,
        ["4"],
        "the table of a tag that did not change keeps its other days"
    );
    // Who had opened the table before goes on reading it.
    let after = house.lake.table(&house.app, "tag_worth").await.unwrap().unwrap();
    assert_ne!(
        (before.location(), before.metadata_location()),
        (after.location(), after.metadata_location())
    );
    let scan =
        before.scan(&["value"]).partition(&Value::Time(MIDNIGHT)).unwrap().plan(1).await.unwrap();
    let batches: Vec<RecordBatch> = futures::stream::iter(scan.partitions())
        .flatten_unordered(None)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    // And so it goes on, from one layout to another and back.
    for (ty, value) in [("int", "quantity"), ("decimal", "price")] {
        house.produce(&format!("{}{others}", sum("worth", ty, value)), MIDNIGHT).await;
        assert_eq!(house.rows("tag_worth").await, [(MIDNIGHT, 2)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_as_of_day_is_overwritten_and_another_added() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.buy(&[("a", 3, 250), ("b", 1, 101)]).await;
    let tags = sum("pieces", "int", "quantity");
    for as_of in [MIDNIGHT, MIDNIGHT + 23 * HOUR_MS, MIDNIGHT + 5 * HOUR_MS] {
        house.produce(&tags, as_of).await;
        assert_eq!(
            (house.rows("tag_pieces").await, house.rows("users_wide").await),
            (vec![(as_of, 2)], vec![(as_of, 2)])
        );
    }
    // An hour after this one's end, in Berlin, and an hour before its begin, which are the same
    // days as it in UTC.
    let (day, next, before) = (MIDNIGHT + 5 * HOUR_MS, MIDNIGHT + DAY_MS, MIDNIGHT - HOUR_MS);
    house.produce(&tags, next).await;
    house.produce(&tags, before).await;
    assert_eq!(house.rows("tag_pieces").await, [(before, 2), (day, 2), (next, 2)]);
    assert_eq!(house.rows("users_wide").await, [(before, 2), (day, 2), (next, 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_with_more_digits_than_the_tag_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.buy(&[("a", 3, 250), ("b", 1, 101)]).await;
    let tag = |value: &str| {
        let query = format!("SELECT user_id, {value} AS value FROM events GROUP BY user_id");
        format!("---\n{{ kind: tag, name: mean, type: decimal, scale: 1, sql: \"{query}\" }}\n")
    };
    let error = house.try_produce(&tag("sum(price)"), MIDNIGHT, None).await.unwrap_err();
    assert!(matches!(&error, Error::SqlResult { tag, .. } if tag.as_str() == "mean"), "{error}");
    assert!(
        error.to_string().contains("2 digits after the point, the tag keeps 1: round and cast it"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Invalid);
    house.produce(&tag("CAST(round(sum(price), 1) AS DECIMAL(38, 1))"), MIDNIGHT).await;
    assert_eq!(house.value("mean", "b").await, Some(Value::Decimal(Decimal::new(10, 1))));
    house.produce(&tag("sum(quantity)"), MIDNIGHT).await;
    assert_eq!(house.value("mean", "a").await, Some(Value::Decimal(Decimal::new(30, 1))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_overflow_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.buy(&[("a", i64::MAX, 250), ("a", 2, 100), ("b", i64::MAX, 1), ("c", 1, 100)]).await;
    let squares = [
        "quantity * quantity",
        "quantity * (quantity + 0)",
        "-(quantity * quantity)",
        "abs(quantity * quantity)",
    ];
    let mut tags: String =
        (0..).zip(squares).map(|(n, value)| sum(&format!("square_{n}"), "int", value)).collect();
    tags += &sum("pieces", "int", "quantity");
    tags += "---\n{ kind: tag, name: shares, type: decimal, scale: 4, aggregate: { function: sum, value: \"1 / (quantity - 1)\" } }\n";
    tags += "---\n{ kind: tag, name: twice, type: int, expression: \"pieces * 2\" }\n";
    let produced = house.produce(&tags, MIDNIGHT).await;
    let skipped =
        |tag: &str| produced.tags.iter().find(|t| t.name.as_str() == tag).unwrap().skipped.clone();
    for (n, square) in squares.iter().enumerate() {
        let tag = format!("square_{n}");
        assert_eq!(skipped(&tag), BTreeMap::from([(SkipReason::OutOfRange, 2)]), "{square}");
        let four = if n == 2 { -4 } else { 4 };
        assert_eq!(
            (house.value(&tag, "a").await, house.value(&tag, "b").await),
            (Some(Value::Int(four)), None)
        );
    }
    // A sum over 64 bits of one user; twice as much of another; nothing by zero is not an overflow.
    assert_eq!(skipped("pieces"), BTreeMap::from([(SkipReason::OutOfRange, 1)]));
    assert_eq!(skipped("twice"), BTreeMap::from([(SkipReason::OutOfRange, 1)]));
    assert_eq!((skipped("shares"), house.value("shares", "c").await), (BTreeMap::new(), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_or_older_dictionary_renumbers_the_users() {
    let folder = tempfile::tempdir().unwrap();
    let (here, aside) = (folder.path().join("dictionary"), folder.path().join("older"));
    let tags = format!("{}{}", sum("pieces", "int", "quantity"), sum("spend", "decimal", "price"));
    let only = [Name::new("pieces").unwrap()];
    {
        let house = House::open(folder.path()).await;
        house.buy(&[("m", 3, 250)]).await;
        house.produce(&tags, MIDNIGHT).await;
    }
    copy_folder(&here, &aside);
    {
        let house = House::open(folder.path()).await;
        house.buy(&[("z", 1, 101)]).await;
        house.produce(&tags, MIDNIGHT).await;
        house.buy(&[("b", 7, 100)]).await;
        assert_eq!(house.dictionary.lookup(&house.app, &["m", "z"]).unwrap(), [Some(0), Some(1)]);
    }
    // An older one knows less than the index: it would give z's number to b.
    std::fs::remove_dir_all(&here).unwrap();
    std::fs::rename(&aside, &here).unwrap();
    {
        let house = House::open(folder.path()).await;
        let error = house.try_produce(&tags, MIDNIGHT, Some(&only)).await.unwrap_err();
        assert!(matches!(error, Error::Renumbered(_)), "{error}");
        assert_eq!(
            (error.kind(), house.dictionary.generation(&house.app)),
            (ErrorKind::Invalid, 1)
        );
        house.produce(&tags, MIDNIGHT).await;
        assert_eq!(house.dictionary.generation(&house.app), 2);
        assert_eq!(
            (house.value("pieces", "b").await, house.value("pieces", "z").await),
            (Some(Value::Int(7)), Some(Value::Int(1)))
        );
        house.try_produce(&tags, MIDNIGHT, Some(&only)).await.unwrap();
    }
    // A lost one.
    std::fs::remove_dir_all(&here).unwrap();
    let house = House::open(folder.path()).await;
    assert_eq!(house.dictionary.generation(&house.app), 0);
    house.produce(&tags, MIDNIGHT).await;
    assert_eq!((house.dictionary.generation(&house.app), house.users().await), (3, 3));
    assert_eq!(
        (house.value("pieces", "b").await, house.value("pieces", "m").await),
        (Some(Value::Int(7)), Some(Value::Int(3)))
    );
    assert_eq!(house.value("spend", "z").await, Some(Value::Decimal(Decimal::new(101, 2))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_index_is_fixed_by_producing() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.buy(&[("a", 3, 250)]).await;
    let tags = sum("pieces", "int", "quantity");
    house.produce(&tags, MIDNIGHT).await;
    std::fs::remove_dir_all(folder.path().join("objects/index")).unwrap();
    let house = {
        drop(house);
        House::open(folder.path()).await
    };
    assert_eq!(house.index.snapshot(&house.app).await.unwrap_err().kind(), ErrorKind::Corrupt);
    house.produce(&tags, MIDNIGHT).await;
    assert_eq!((house.value("pieces", "a").await, house.users().await), (Some(Value::Int(3)), 1));
    assert_eq!(
        house
            .index
            .snapshot(&house.app)
            .await
            .unwrap()
            .unwrap()
            .types()
            .values()
            .collect::<Vec<_>>(),
        [&ValueType::Int]
    );
}

/// Numbers beyond 64 bits come another way into the index, and what the stream keeps current does
/// not come there at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tag_gets_the_segment_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(folder.path()).await;
    house.buy(&[("ada", 2, i64::MAX), ("bob", 3, 100)]).await;
    let tags = [
        sum("wide", "decimal, scale: 2", "price * 1000"),
        sum("narrow", "decimal, scale: 2", "quantity * 1.5"),
        sum("live", "int, mode: both", "quantity"),
    ];
    let produced = house.produce(&tags.concat(), MIDNIGHT).await;
    assert_eq!(produced.tags.len(), 3);
    let decimal =
        |units| Some(Value::Decimal(Decimal::try_from_i128_with_scale(units, 2).unwrap()));
    assert_eq!(house.value("wide", "ada").await, decimal(i128::from(i64::MAX) * 1000));
    assert_eq!(house.value("wide", "bob").await, decimal(100_000));
    assert_eq!(house.value("narrow", "ada").await, decimal(300));
    let snapshot = house.index.snapshot(&house.app).await.unwrap().unwrap();
    assert!(snapshot.info("live").is_none());
    assert_eq!(house.rows("tag_live").await, [(MIDNIGHT, 2)]);
}

use crate::support::{DAY_MS, DEC_1, House, event_rows, gather, name, tag_rows, write};
use arrow::array::{Array, AsArray};
use arrow::util::pretty::pretty_format_batches;
use taghouse_lake::{Error, layout};
use taghouse_model::{AppId, ErrorKind, Value, ValueType};

async fn house() -> House {
    let house = House::new().await;
    house.append(&house.events().await, event_rows(0, 240, DEC_1)).await;
    let tag =
        house.lake.ensure(&house.app, &layout::tag(&name("orders"), ValueType::Int)).await.unwrap();
    for (day, factor) in [(DEC_1, 1), (DEC_1 + DAY_MS, 10)] {
        let files = write(&tag, vec![tag_rows(day, 5, factor)]).await;
        let mut commit = house.lake.begin(&house.app);
        commit.overwrite(&tag, &Value::Time(day), files).unwrap();
        commit.commit().await.unwrap();
    }
    house
}

async fn answer(house: &House, query: &str, at: &[(&str, i64)]) -> Result<String, Error> {
    let (_, stream) = house.lake.sql(&house.app, query, at).await?;
    let batches: Vec<_> = futures::TryStreamExt::try_collect(stream).await?;
    let table = pretty_format_batches(&batches).unwrap().to_string();
    let rows = table.lines().filter(|l| l.starts_with("| ")).skip(1);
    Ok(rows
        .map(|l| l.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(","))
        .collect::<Vec<_>>()
        .join(";"))
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_answered() {
    let house = house().await;
    let check = async |query: &str, expected: &str| {
        assert_eq!(answer(&house, query, &[]).await.unwrap(), expected, "{query}")
    };
    check("SELECT count(*) FROM events", "240").await;
    check(
        "SELECT count(*) FROM events WHERE time >= '2011-12-02' AND time < '2011-12-03T12:00:00'",
        "36",
    )
    .await;
    check(
        "SELECT sum(quantity), sum(price), min(time), max(due) FROM events",
        "28680,28682.8680,2011-12-01T00:00:00Z,1970-08-28",
    )
    .await;
    check(
        "SELECT event, count(DISTINCT user_id) FROM events GROUP BY event ORDER BY event",
        "purchase,10;refund,5",
    )
    .await;
    check("SELECT count(sku) FROM events WHERE sku IN ('sku1', 'sku2', 'x')", "2").await;
    check("SELECT count(*) FROM events WHERE price = 7.0007", "1").await;
    check("SELECT count(*) FROM shop.events WHERE properties IS NOT NULL", "0").await;
    let join = "WITH big AS (SELECT user_id FROM tag_orders WHERE value >= 30) \
                SELECT e.user_id, count(*) FROM events e JOIN big ON e.user_id = big.user_id GROUP BY 1 ORDER BY 1";
    check(join, "u3,24;u4,24").await;
    check(
        "SELECT user_id AS user_id, CAST(max(quantity) AS VARCHAR) AS value FROM events GROUP BY user_id ORDER BY user_id LIMIT 1",
        "u0,230",
    )
    .await;
    check("SELECT upper(substr(sku, 1, 3)) FROM events WHERE quantity = 1 UNION ALL SELECT 'x' ORDER BY 1", "SKU;x").await;
    check("SELECT labels[1] FROM events WHERE quantity = 1", "l1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_of_shows_what_was_known() {
    let house = house().await;
    let check = async |query: &str, at: &[(&str, i64)], expected: &str| {
        assert_eq!(answer(&house, query, at).await.unwrap(), expected, "{query}");
    };
    check("SELECT sum(value) FROM tag_orders", &[], "110").await;
    check("SELECT sum(value) FROM tag_orders", &[("tag_orders", DEC_1)], "10").await;
    check(
        "SELECT sum(t.value) FROM tag_orders t WHERE t.value > 10",
        &[("tag_orders", DEC_1 + DAY_MS)],
        "90",
    )
    .await;
    check("SELECT count(*) FROM tag_orders", &[("tag_orders", DEC_1 + 1)], "0").await;
    check("SELECT count(*) FROM events", &[("events", DEC_1 + DAY_MS + 1)], "25").await;
    check("SELECT max(quantity) FROM events", &[("events", DEC_1 + DAY_MS)], "23").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_come_as_one_type_and_counts_need_no_file() {
    let house = house().await;
    let (schema, stream) = house
        .lake
        .sql(&house.app, "SELECT arrow_cast(sku, 'Utf8View') AS a, sku FROM events", &[])
        .await
        .unwrap();
    assert!(schema.fields().iter().all(|f| f.data_type() == &arrow::datatypes::DataType::Utf8));
    let batches = gather(stream).await;
    assert!(batches.iter().all(|b| b.column(0).as_string::<i32>().len() == b.num_rows()));
    for file in house.objects(".parquet") {
        std::fs::remove_file(file).unwrap();
    }
    assert_eq!(answer(&house, "SELECT count(*) FROM events", &[]).await.unwrap(), "240");
    // Pruned away: no file is opened.
    assert_eq!(
        answer(&house, "SELECT sum(quantity) FROM events WHERE time < '2011-12-01'", &[])
            .await
            .unwrap(),
        ""
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_but_reading_is_refused() {
    let house = house().await;
    let secret = house.folder.path().join("secret.csv");
    std::fs::write(&secret, "a,b\n1,2\n").unwrap();
    let secret = secret.to_str().unwrap();
    let cases = [
        "INSERT INTO events SELECT * FROM events".to_owned(),
        "DELETE FROM events".to_owned(),
        "UPDATE events SET quantity = 1".to_owned(),
        "DROP TABLE events".to_owned(),
        "CREATE TABLE x AS SELECT 1".to_owned(),
        "CREATE VIEW x AS SELECT 1".to_owned(),
        format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{secret}'"),
        format!("COPY events TO '{secret}'"),
        format!("COPY (SELECT 1) TO '{secret}'"),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "SHOW TABLES".to_owned(),
        "EXPLAIN SELECT 1".to_owned(),
        "EXPLAIN ANALYZE SELECT 1".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        "SELECT * INTO x FROM events".to_owned(),
        "WITH a AS (SELECT 1) INSERT INTO events SELECT * FROM a".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "BEGIN".to_owned(),
        String::new(),
        ";".to_owned(),
        "SELEKT 1".to_owned(),
        "TRUNCATE TABLE events".to_owned(),
        format!("SELECT * FROM '{secret}'"),
        format!("SELECT * FROM read_csv('{secret}')"),
        "SELECT * FROM information_schema.tables".to_owned(),
        "SELECT * FROM generate_series(1, 1000000000)".to_owned(),
        "SELECT * FROM other.events".to_owned(),
        "SELECT * FROM (SELECT * FROM other.events) x".to_owned(),
        "SELECT (SELECT max(quantity) FROM other.events)".to_owned(),
        format!("{}1{}", "SELECT (".repeat(500), ")".repeat(500)),
        format!("SELECT {}1{}", "(".repeat(60_000), ")".repeat(60_000)),
        format!("SELECT {}true", "NOT ".repeat(30_000)),
        format!("SELECT 1{}", "+1".repeat(60_000)),
        format!("SELECT 1 FROM events WHERE {}", vec!["quantity = 1"; 9_000].join(" OR ")),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(6_000)),
        format!("SELECT '{}'", "x".repeat(200_000)),
    ];
    for query in cases {
        let shown: String = query.chars().take(60).collect();
        match answer(&house, &query, &[]).await {
            Err(e) => assert_eq!(e.kind(), ErrorKind::Invalid, "{shown}: {e}"),
            Ok(rows) => panic!("{shown} gave {rows}"),
        }
    }
    // Long is not deep.
    let many: Vec<String> = (0..9_000).map(|i| i.to_string()).collect();
    let long = format!("SELECT count(*) FROM events WHERE quantity IN ({})", many.join(", "));
    assert_eq!(answer(&house, &long, &[]).await.unwrap(), "240");
    let ored = format!(
        "SELECT count(*) FROM events WHERE {}",
        ["quantity = 1", "quantity < 3"].repeat(200).join(" OR ")
    );
    assert_eq!(answer(&house, &ored, &[]).await.unwrap(), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_column_and_the_table() {
    let house = house().await;
    let check = async |query: &str, expected: &str| {
        let e = answer(&house, query, &[]).await.unwrap_err();
        assert!(e.to_string().contains(expected), "{query}: {e}");
        assert_eq!(e.kind(), ErrorKind::Invalid);
    };
    check("SELECT quantty FROM events", "quantty").await;
    check("SELECT quantty FROM events", "events.quantity").await;
    check("SELECT a.x FROM events a", "a.x").await;
    check("SELECT * FROM evnts", "app shop has no table evnts: it has events, tag_orders").await;
    check("SELECT nosuch(quantity) FROM events", "nosuch").await;
    check("SELECT sku + 1 FROM events", "Utf8 + Int64").await;
    check("SELECT count(*) FORM events", "found: events at Line: 1, Column: 22").await;
    check("SELECT quantity / 0 FROM events", "ivide by zero").await;
    let other = AppId::new("other").unwrap();
    let e = house.lake.sql(&other, "SELECT * FROM events", &[]).await.err().unwrap();
    assert!(e.to_string().contains("app other has no table events"), "{e}");
}

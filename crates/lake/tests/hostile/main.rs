//! Queries that were written to take the process down: each ends with an error, soon, within
//! bounded memory, and others are answered meanwhile. A test binary of its own, for it looks at the
//! memory of its process.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../lake/support.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod support;

use arrow::record_batch::RecordBatch;
use std::cell::Cell;
use std::time::{Duration, Instant};
use support::{DEC_1, House, event_rows, properties, write};
use taghouse_lake::{Error, Lake, SqlLimits, layout};
use taghouse_model::{AppId, ErrorKind};

const LIMITS: SqlLimits = SqlLimits {
    deadline: Duration::from_secs(6),
    at_once: 3,
    memory_bytes: 32 << 20,
    spill_bytes: 128 << 20,
};
/// Of one query, with its planning; unoptimised, beside other work.
const ENDED_WITHIN: Duration = Duration::from_secs(40);
/// Two hostile queries run at a time. What is not counted in their memory, such as buffers of the
/// disk's files, is small beside this.
const RESIDENT_BYTES: u64 = 1 << 30;

/// The most bytes of this process that were in memory at a time so far.
fn most_resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// `doubled` at each of so many levels, each made of the one before.
fn levels(count: usize, first: &str, next: &str, last: &str) -> String {
    let mut ctes = vec![format!("c0 AS ({first})")];
    ctes.extend((1..=count).map(|level| {
        format!("c{level} AS ({})", next.replace("PREVIOUS", &format!("c{}", level - 1)))
    }));
    format!("WITH {} {}", ctes.join(", "), last.replace("LAST", &format!("c{count}")))
}

/// Queries that must be refused before they run, with a word of the reason.
fn refused() -> Vec<(String, &'static str)> {
    let own = |query: &str, why| (query.to_owned(), why);
    vec![
        own("SELECT range(0, 100000000000)", "\"range\" is not allowed"),
        own("SELECT generate_series(0, 100000000000)", "\"generate_series\" is not allowed"),
        own(
            "SELECT user_id, RANGE(0, quantity * 1000000000) AS value FROM events",
            "\"range\" is not allowed",
        ),
        own("SELECT * FROM range(0, 100000000000)", "range"),
        own("SELECT repeat('x', 2000000000)", "\"repeat\" would make"),
        own("SELECT repeat(repeat('x', 30000), 30000)", "\"repeat\" would make"),
        own(
            "SELECT user_id, CASE WHEN length(repeat('x', 2000000000)) > 3 THEN 1 END AS value FROM events",
            "\"repeat\" would make",
        ),
        own("SELECT lpad('x', 2000000000)", "\"lpad\" would make"),
        own("SELECT rpad('x', 2000000000, 'yz')", "\"rpad\" would make"),
        own(
            "SELECT replace(repeat('a', 10000), 'a', repeat('b', 10000))",
            "\"replace\" would make",
        ),
        own(
            "SELECT regexp_replace(repeat('a', 10000), 'a', repeat('b', 10000), 'g')",
            "\"regexp_replace\" would make",
        ),
        own("SELECT array_repeat(1, 10000000000)", "\"array_repeat\" is not allowed"),
        own("SELECT array_resize([1], 10000000000)", "\"array_resize\" is not allowed"),
        own(
            "SELECT levenshtein(repeat('a', 30000), repeat('b', 30000))",
            "\"levenshtein\" is not allowed",
        ),
        own("SELECT named_struct('a', 1)", "\"named_struct\" is not allowed"),
        own(
            "SELECT approx_percentile_cont(quantity, 0.5, 4000000000) FROM events",
            "\"approx_percentile_cont\" is not allowed",
        ),
        own("SELECT random()", "\"random\" is not allowed"),
        own("SELECT CAST(NULL AS BIGINT[2000000000])", "fixed size"),
        own("SELECT arrow_cast(NULL, 'FixedSizeBinary(2000000000)')", "Fixed"),
        own("SELECT regexp_like(sku, '((a{100}){100}){100}') FROM events", "too large"),
        own("SELECT count(*) FROM events WHERE sku ~ repeat('(a|b)*', 1000)", "single quotes"),
        own("SELECT count(*) FROM events WHERE sku LIKE sku || '%' || sku", "single quotes"),
        own(
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
            "RECURSIVE",
        ),
        own(
            "SELECT count(*) FROM events GROUP BY CUBE (user_id, event, time, message_id, source, quantity, price, gift, due, sku)",
            "CUBE",
        ),
        (
            levels(
                40,
                "SELECT 1 AS v",
                "SELECT a.v FROM PREVIOUS a, PREVIOUS b",
                "SELECT count(*) FROM LAST",
            ),
            "places",
        ),
        (
            levels(
                60,
                "SELECT quantity AS v FROM events",
                "SELECT v + v AS v FROM PREVIOUS",
                "SELECT v FROM LAST WHERE v > 0",
            ),
            "parts",
        ),
        (
            levels(
                60,
                "SELECT 'x' AS v",
                "SELECT v || v AS v FROM PREVIOUS",
                "SELECT length(v) FROM LAST",
            ),
            "parts",
        ),
    ]
}

/// Queries that may be answered, if that is done in time.
fn odd() -> Vec<String> {
    let all: Vec<String> = (0..1500).map(|i| format!("quantity AS c{i}")).collect();
    vec![
        format!("SELECT {}1{}", "abs(".repeat(300), ")".repeat(300)),
        format!("SELECT {}1", "- ".repeat(3000)),
        format!("SELECT CASE {} END FROM events", "WHEN quantity = 1 THEN sku ".repeat(900)),
        format!(
            "SELECT {} FROM events ORDER BY {}",
            all.join(", "),
            (1..=1500).map(|i| i.to_string()).collect::<Vec<_>>().join(", ")
        ),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(190)),
        format!("SELECT {} FROM events", "count(*) OVER (ORDER BY quantity), ".repeat(200) + "1"),
        levels(
            60,
            "SELECT quantity AS v FROM events",
            "SELECT v + 1 AS v FROM PREVIOUS GROUP BY v",
            "SELECT max(v) FROM LAST",
        ),
    ]
}

/// Queries that are sound to look at, and must end when they run. Without a word: by their deadline
/// or for memory, whichever comes first on this machine.
fn ended() -> Vec<(String, &'static str)> {
    let own = |query: &str, why| (query.to_owned(), why);
    let crossed = "events a CROSS JOIN events b CROSS JOIN events c CROSS JOIN events d";
    let on_event = "events a JOIN events b ON a.event = b.event JOIN events c ON b.event = c.event JOIN events d ON c.event = d.event";
    let long_texts: Vec<String> =
        (0..900).map(|i| format!("repeat(event, {}) AS c{i}", 1000 + i)).collect();
    vec![
        (format!("SELECT {} FROM events", long_texts.join(", ")), "would make"),
        (
            format!(
                "SELECT count(*) FROM {crossed} WHERE a.quantity + b.quantity + c.quantity + d.quantity < 0"
            ),
            "longer than",
        ),
        (
            format!("SELECT a.user_id, count(*) AS value FROM {crossed} GROUP BY a.user_id"),
            "longer than",
        ),
        (format!("SELECT max(a.quantity * b.quantity) FROM {on_event}"), ""),
        (format!("SELECT count(*) FROM {on_event} AND a.quantity + d.quantity < 0"), ""),
        own(
            "SELECT count(*) FROM events a JOIN events b ON a.quantity + b.quantity > 0 CROSS JOIN events c CROSS JOIN events d",
            "",
        ),
        (format!("SELECT array_agg(a.message_id) FROM {crossed}"), ""),
        (format!("SELECT string_agg(a.message_id, ',') FROM {crossed}"), ""),
        (
            format!(
                "SELECT count(DISTINCT concat(a.message_id, b.message_id, c.message_id)) FROM {crossed}"
            ),
            "",
        ),
        (
            format!(
                "SELECT concat(a.message_id, b.message_id, c.message_id) AS k, count(*) FROM {crossed} GROUP BY 1"
            ),
            "",
        ),
        (
            format!(
                "SELECT a.message_id FROM {crossed} ORDER BY a.message_id, b.message_id, c.message_id, d.message_id"
            ),
            "",
        ),
        (format!("SELECT sum(a.quantity) OVER () FROM {crossed}"), ""),
        (
            format!("SELECT lead(a.message_id, 1000000000) OVER (ORDER BY a.time) FROM {crossed}"),
            "",
        ),
        (
            format!(
                "SELECT row_number() OVER (PARTITION BY a.user_id ORDER BY b.time, c.time) FROM {crossed}"
            ),
            "",
        ),
        (format!("SELECT DISTINCT a.message_id, b.message_id, c.message_id FROM {crossed}"), ""),
        (
            format!(
                "SELECT a.message_id FROM {crossed} UNION SELECT b.message_id || c.message_id FROM {crossed}"
            ),
            "",
        ),
        own("SELECT count(repeat(sku, quantity * 100000000)) FROM events", "\"repeat\" would make"),
        own("SELECT max(lpad(sku, quantity * 1000000)) FROM events", "\"lpad\" would make"),
        (
            levels(
                40,
                "SELECT max(sku) AS v FROM events",
                "SELECT max(v || v) AS v FROM PREVIOUS",
                "SELECT length(v) AS value FROM LAST",
            ),
            "would make",
        ),
        (
            levels(
                40,
                "SELECT array_agg(quantity) AS v FROM events",
                "SELECT first_value(array_concat(v, v)) AS v FROM PREVIOUS",
                "SELECT array_length(v) AS value FROM LAST",
            ),
            "would make",
        ),
        own(
            "SELECT sum(length(big.v)) FROM events a CROSS JOIN events b CROSS JOIN (SELECT string_agg(message_id, ',') AS v FROM events) big \
             WHERE length(a.sku || big.v) > 3 AND b.quantity > 0",
            "",
        ),
        own(
            "WITH lists AS (SELECT array_agg(message_id) AS l, string_agg(message_id, ',') AS t FROM events), \
             one AS (SELECT t, unnest(l) AS i FROM lists) SELECT count(*), max(length(a.t)) FROM one a CROSS JOIN one b CROSS JOIN one c CROSS JOIN one d",
            "",
        ),
        own(
            "SELECT * FROM events a CROSS JOIN events b CROSS JOIN events c ORDER BY a.price * b.price * c.price",
            "",
        ),
    ]
}

async fn answer(lake: &Lake, app: &AppId, query: &str) -> Result<Vec<RecordBatch>, Error> {
    let (_, stream) = lake.sql(app, query, &[]).await?;
    futures::TryStreamExt::try_collect(stream).await
}

/// What of a query was not as it must be.
async fn fault(house: &House, query: &str, why: &str, before_it_runs: bool) -> Option<String> {
    let began = Instant::now();
    let outcome = match before_it_runs {
        true => house.lake.sql_schema(&house.app, query).await.map(|_| Vec::new()),
        false => answer(&house.lake, &house.app, query).await,
    };
    let (shown, took): (String, _) = (query.chars().take(150).collect(), began.elapsed());
    match outcome {
        _ if took > ENDED_WITHIN => Some(format!("{shown} took {took:?}")),
        Err(e) if e.to_string().contains(why) && e.kind() == ErrorKind::Invalid => None,
        Err(e) => Some(format!("{shown}: {e:?}")),
        Ok(_) => Some(format!("{shown} was answered")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_queries_end_and_others_are_answered() {
    let house = House::new().await;
    house.append(&house.events().await, event_rows(0, 1200, DEC_1)).await;
    house.lake.limit_queries(LIMITS);
    let other = AppId::new("other").unwrap();
    let table = house.lake.ensure(&other, &layout::events(&properties())).await.unwrap();
    let files = write(&table, vec![event_rows(0, 24, DEC_1)]).await;
    let mut commit = house.lake.begin(&other);
    commit.append(&table, files);
    commit.commit().await.unwrap();
    let mut faults = Vec::new();
    for (query, why) in refused() {
        faults.extend(fault(&house, &query, why, true).await);
    }
    for query in odd() {
        let began = Instant::now();
        let outcome = answer(&house.lake, &house.app, &query).await;
        let ours = outcome
            .err()
            .filter(|e| e.kind() != ErrorKind::Invalid)
            .map(|e| format!("{query:.100}: {e}"));
        faults.extend(ours.or_else(|| {
            (began.elapsed() > ENDED_WITHIN)
                .then(|| format!("{query:.100} took {:?}", began.elapsed()))
        }));
    }
    let all = ended();
    let (left, right) = all.split_at(all.len() / 2);
    let run = async |queries: &[(String, &str)]| {
        let mut faults = Vec::new();
        for (query, why) in queries {
            faults.extend(fault(&house, query, why, false).await);
        }
        faults
    };
    // Somebody else's questions take their turns beside two of those. On a machine that is busy
    // otherwise, one may be too late.
    let late = Cell::new(0);
    let others = async {
        loop {
            let began = Instant::now();
            let question = "SELECT user_id, count(*) AS value FROM events GROUP BY user_id";
            let rows = match answer(&house.lake, &other, question).await {
                Ok(rows) => rows,
                Err(error) if late.get() == 0 && error.kind() == ErrorKind::Invalid => {
                    late.set(1);
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
            assert!(began.elapsed() < ENDED_WITHIN, "another query took {:?}", began.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        (left, right) = async { tokio::join!(run(left), run(right)) } => faults.extend(left.into_iter().chain(right)),
        () = others => {}
    }
    let most = most_resident();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(most < RESIDENT_BYTES, "{most} bytes were resident");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_ends_with_its_reader_and_gives_its_turn_to_the_next() {
    let house = House::new().await;
    house.append(&house.events().await, event_rows(0, 240, DEC_1)).await;
    let lake = house.lake.clone();
    lake.limit_queries(SqlLimits { at_once: 1, deadline: Duration::from_secs(120), ..LIMITS });
    let crossed = "events a CROSS JOIN events b CROSS JOIN events c CROSS JOIN events d";
    let query = format!(
        "SELECT count(*) FROM {crossed} WHERE a.quantity + b.quantity + c.quantity + d.quantity < 0"
    );
    for _ in 0..3 {
        let (_, mut stream) = lake.sql(&house.app, &query, &[]).await.unwrap();
        let began =
            tokio::time::timeout(Duration::from_millis(300), futures::StreamExt::next(&mut stream))
                .await;
        assert!(began.is_err(), "it should still run");
        drop(stream);
        let next = answer(&lake, &house.app, "SELECT 1");
        assert!(tokio::time::timeout(Duration::from_secs(20), next).await.unwrap().is_ok());
    }
}

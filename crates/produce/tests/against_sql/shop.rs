use jiff::Timestamp;
use taghouse_rules::{DefinitionFile, Definitions, parse_definitions};

pub(crate) const BASE: &str = r#"
kind: app
id: shop
time_zone: Europe/London
---
kind: source
name: shop
format: csv
user_id: user
event: { column: event }
time: time
properties:
  sku: { column: sku, type: text }
  quantity: { column: quantity, type: int }
  price: { column: price, type: decimal, scale: 4 }
  gift: { column: gift, type: bool }
attributes:
  age: { column: age, type: int }
"#;

pub(crate) const DEFINITIONS: &str = r#"
kind: app
id: shop
time_zone: Europe/London
---
kind: source
name: shop
format: csv
user_id: user
event: { column: event }
time: time
properties:
  sku: { column: sku, type: text }
  quantity: { column: quantity, type: int }
  price: { column: price, type: decimal, scale: 4 }
  gift: { column: gift, type: bool }
attributes:
  age: { column: age, type: int }
---
{ kind: tag, name: orders, type: int, aggregate: { events: [purchase], function: count, window: 30d } }
---
{ kind: tag, name: priced, type: int, aggregate: { function: count, value: price, window: 7d } }
---
{ kind: tag, name: spend_30d, type: decimal, scale: 4, aggregate: { events: [purchase], function: sum, value: "quantity * price", window: 30d } }
---
{ kind: tag, name: pieces, type: decimal, scale: 2, aggregate: { events: [purchase, refund], function: sum, value: quantity, where: "quantity > 2" } }
---
{ kind: tag, name: spend_hours, type: decimal, scale: 4, aggregate: { function: sum, value: "price + quantity", window: 36h } }
---
{ kind: tag, name: mean_price, type: decimal, scale: 2, aggregate: { function: avg, value: price, where: "gift == true || price < 1.5" } }
---
{ kind: tag, name: cheapest, type: decimal, scale: 4, aggregate: { function: min, value: price, window: 7d } }
---
{ kind: tag, name: dearest, type: decimal, scale: 4, aggregate: { function: max, value: price, window: 1d } }
---
{ kind: tag, name: last_seen, type: date, precision: millisecond, aggregate: { function: max, value: time } }
---
{ kind: tag, name: first_day, type: date, aggregate: { function: first, value: time } }
---
{ kind: tag, name: least_sku, type: enum, aggregate: { function: min, value: sku, window: 36h } }
---
{ kind: tag, name: skus, type: int, aggregate: { events: [purchase], function: count_distinct, value: sku } }
---
{ kind: tag, name: prices, type: int, aggregate: { function: count_distinct, value: price, window: 7d } }
---
{ kind: tag, name: first_sku, type: enum, aggregate: { function: first, value: sku, window: 30d } }
---
{ kind: tag, name: last_sku, type: enum, aggregate: { function: last, value: sku, where: "sku like 's1%'" } }
---
{ kind: tag, name: last_gift, type: bool, aggregate: { function: last, value: gift } }
---
{ kind: tag, name: top_sku, type: enum, aggregate: { function: most_frequent, value: sku } }
---
{ kind: tag, name: top_quantity, type: int, aggregate: { function: most_frequent, value: quantity, window: 7d } }
---
{ kind: tag, name: countries, type: set, aggregate: { function: set, value: sku, window: 7d } }
---
{ kind: tag, name: age, type: int, attribute: age }
---
{ kind: tag, name: views, type: int, sql: "SELECT user_id, count(*) AS value FROM events WHERE event = 'view' AND time < {as_of} GROUP BY user_id" }
---
kind: tag
name: band
type: enum
cohort:
  rules: [ { when: "spend_30d >= 20", value: gold }, { when: "spend_30d > 0", value: bronze } ]
  otherwise: none
---
{ kind: tag, name: spend_an_order, type: decimal, scale: 4, expression: "spend_30d / orders" }
"#;

pub(crate) fn definitions(text: &str) -> Definitions {
    let file = DefinitionFile { path: "shop.yaml".to_owned(), text: text.to_owned() };
    Definitions::check(&parse_definitions(&[file]).unwrap()).unwrap()
}

/// An as-of time and where the windows begin.
pub(crate) struct Cut {
    pub(crate) as_of: &'static str,
    pub(crate) days_30: &'static str,
    pub(crate) days_7: &'static str,
    pub(crate) day: &'static str,
    pub(crate) hours_36: &'static str,
}

impl Cut {
    pub(crate) fn as_of_ms(&self) -> i64 {
        self.as_of.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn between(&self, start: &str) -> String {
        format!("time >= TIMESTAMP '{start}' AND time < TIMESTAMP '{}'", self.as_of)
    }
}

/// One value a user: of a window's rows, grouped.
fn grouped(value: &str, rows: &str) -> String {
    format!("SELECT user_id, {value} AS value FROM events WHERE {rows} GROUP BY user_id")
}

/// The value of the first row in an order.
fn first(value: &str, order: &str, rows: &str) -> String {
    format!(
        "SELECT user_id, value FROM (SELECT user_id, {value} AS value, row_number() OVER (PARTITION BY user_id ORDER BY {order}) AS n \
         FROM events WHERE {rows}) WHERE n = 1"
    )
}

fn most_frequent(value: &str, rows: &str) -> String {
    format!(
        "SELECT user_id, value FROM (SELECT user_id, {value} AS value, row_number() OVER (PARTITION BY user_id ORDER BY count(*) DESC, {value}) AS n \
         FROM events WHERE {rows} AND {value} IS NOT NULL GROUP BY user_id, {value}) WHERE n = 1"
    )
}

/// Each tag's SQL.
pub(crate) fn cases(cut: &Cut) -> Vec<(&'static str, String)> {
    let (all, month, week, day, hours) = (
        format!("time < TIMESTAMP '{}'", cut.as_of),
        cut.between(cut.days_30),
        cut.between(cut.days_7),
        cut.between(cut.day),
        cut.between(cut.hours_36),
    );
    let spend = grouped(
        "sum(quantity * price)",
        &format!("{month} AND event = 'purchase' AND quantity * price IS NOT NULL"),
    );
    let orders = grouped("count(*)", &format!("{month} AND event = 'purchase'"));
    let value = |name: &str, rows: &str| format!("{rows} AND {name} IS NOT NULL");
    vec![
        ("orders", orders.clone()),
        ("priced", grouped("count(*)", &value("price", &week))),
        ("spend_30d", spend.clone()),
        (
            "pieces",
            grouped(
                "sum(quantity)",
                &format!("{all} AND event IN ('purchase', 'refund') AND quantity > 2"),
            ),
        ),
        ("spend_hours", grouped("sum(price + quantity)", &value("price + quantity", &hours))),
        // Quotients of whole units: SQL's own mean of decimals cuts digits off instead of
        // rounding.
        (
            "mean_price",
            format!(
                "SELECT user_id, round(CAST(units AS DECIMAL(38, 10)) / CAST(n AS DECIMAL(20, 0)), 2) AS value FROM \
                 (SELECT user_id, sum(price) AS units, count(price) AS n FROM events WHERE {all} AND (gift = true OR price < 1.5) \
                 AND price IS NOT NULL GROUP BY user_id)"
            ),
        ),
        ("cheapest", grouped("min(price)", &value("price", &week))),
        ("dearest", grouped("max(price)", &value("price", &day))),
        ("last_seen", grouped("max(time)", &all)),
        ("least_sku", grouped("min(sku)", &value("sku", &hours))),
        (
            "skus",
            grouped("count(DISTINCT sku)", &value("sku", &format!("{all} AND event = 'purchase'"))),
        ),
        ("prices", grouped("count(DISTINCT price)", &value("price", &week))),
        ("first_sku", first("sku", "time, message_id", &value("sku", &month))),
        (
            "last_sku",
            first("sku", "time DESC, message_id DESC", &format!("{all} AND sku LIKE 's1%'")),
        ),
        ("last_gift", first("gift", "time DESC, message_id DESC", &value("gift", &all))),
        ("top_sku", most_frequent("sku", &all)),
        ("top_quantity", most_frequent("quantity", &week)),
        ("countries", grouped("array_agg(DISTINCT sku)", &value("sku", &week))),
        (
            "age",
            format!(
                "SELECT user_id, CAST(value AS BIGINT) AS value FROM (SELECT user_id, value, row_number() OVER (PARTITION BY user_id \
                 ORDER BY time DESC, message_id DESC) AS n FROM attributes WHERE {all} AND name = 'age') WHERE n = 1 AND value IS NOT NULL"
            ),
        ),
        ("views", grouped("count(*)", &format!("{all} AND event = 'view'"))),
        (
            "band",
            format!(
                "SELECT u.user_id, CASE WHEN s.value >= 20 THEN 'gold' WHEN s.value > 0 THEN 'bronze' ELSE 'none' END AS value FROM \
                 (SELECT user_id FROM events UNION SELECT user_id FROM attributes) u LEFT JOIN ({spend}) s ON u.user_id = s.user_id"
            ),
        ),
    ]
}

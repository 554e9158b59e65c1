//! The tags of examples/online-retail computed the plainest way: all lines in memory, each user's
//! lines walked once per tag. It shares no code with the product.

use flate2::read::GzDecoder;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

/// A line that has a user.
struct Line {
    refund: bool,
    invoice: String,
    sku: String,
    /// Quantity × unit price, in units of 0.0001.
    amount: i128,
    time_ms: i64,
    /// In London.
    day: Date,
    /// File and row, which order lines of the same time.
    place: (String, usize),
    country: String,
}

/// All lines by user.
pub(crate) struct Lines {
    by_user: BTreeMap<i64, Vec<Line>>,
    pub(crate) without_user: usize,
}

/// A user's tags; money and rates in units of 0.0001.
#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) country: Option<String>,
    pub(crate) countries: BTreeSet<String>,
    pub(crate) orders_30d: Option<i128>,
    pub(crate) spend_365d: Option<i128>,
    pub(crate) refunds_90d: Option<i128>,
    pub(crate) skus: Option<i128>,
    pub(crate) last_purchase_ms: Option<i64>,
    pub(crate) top_sku: Option<String>,
    pub(crate) orders: Option<i128>,
    pub(crate) refunds: Option<i128>,
    pub(crate) value_band: Option<&'static str>,
    pub(crate) refund_rate: Option<i128>,
}

fn zone() -> TimeZone {
    TimeZone::get("Europe/London").unwrap()
}

/// The instant of a time of day in London, in ms since 1970 UTC.
pub(crate) fn london(text: &str) -> i64 {
    text.parse::<DateTime>().unwrap().to_zoned(zone()).unwrap().timestamp().as_millisecond()
}

/// `12.5` as 125,000.
fn ten_thousandths(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= 4, "{text} has more than four digits after the point");
    format!("{whole}{fraction:0<4}").parse().unwrap()
}

fn some(count: usize) -> Option<i128> {
    (count > 0).then_some(count as i128)
}

impl Lines {
    pub(crate) fn read(folder: &Path) -> Self {
        let mut lines = Self { by_user: BTreeMap::new(), without_user: 0 };
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.to_string_lossy().ends_with(".csv.gz") {
                continue;
            }
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            let mut reader =
                csv::Reader::from_reader(GzDecoder::new(std::fs::File::open(&path).unwrap()));
            let header = reader.headers().unwrap().iter().collect::<Vec<_>>().join(",");
            assert_eq!(
                header,
                "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
            );
            for (row, record) in reader.byte_records().enumerate() {
                lines.add(&record.unwrap(), (file.clone(), row));
            }
        }
        lines
    }

    fn add(&mut self, record: &csv::ByteRecord, place: (String, usize)) {
        let field = |index: usize| std::str::from_utf8(&record[index]).unwrap();
        if field(6).is_empty() {
            self.without_user += 1;
            return;
        }
        let user: i64 = field(6).strip_suffix(".0").unwrap().parse().unwrap();
        let written: DateTime = field(4).parse().unwrap();
        self.by_user.entry(user).or_default().push(Line {
            refund: field(0).starts_with('C'),
            invoice: field(0).to_owned(),
            sku: field(1).to_owned(),
            amount: field(3).parse::<i128>().unwrap() * ten_thousandths(field(5)),
            time_ms: written.to_zoned(zone()).unwrap().timestamp().as_millisecond(),
            day: written.date(),
            place,
            country: field(7).to_owned(),
        });
    }

    pub(crate) fn accepted(&self) -> usize {
        self.by_user.values().map(Vec::len).sum()
    }

    pub(crate) fn purchases(&self) -> usize {
        self.by_user.values().flatten().filter(|line| !line.refund).count()
    }

    /// All users, also those who have done nothing by then.
    pub(crate) fn users_as_of(&self, as_of: &str) -> Vec<User> {
        let end_ms = london(as_of);
        // The day that holds the last instant before the as-of time.
        let last_day =
            jiff::Timestamp::from_millisecond(end_ms - 1).unwrap().to_zoned(zone()).date();
        self.by_user
            .values()
            .map(|lines| {
                user(
                    &lines.iter().filter(|line| line.time_ms < end_ms).collect::<Vec<_>>(),
                    last_day,
                )
            })
            .collect()
    }
}

fn user(lines: &[&Line], last_day: Date) -> User {
    let within = |line: &&&Line, days: i32| {
        line.day > last_day.checked_sub(jiff::Span::new().days(days)).unwrap()
    };
    let purchases: Vec<&Line> = lines.iter().copied().filter(|line| !line.refund).collect();
    let invoices = |days: i32| {
        purchases
            .iter()
            .filter(|line| within(line, days))
            .map(|line| &line.invoice)
            .collect::<HashSet<_>>()
            .len()
    };
    let recent: Vec<i128> =
        purchases.iter().filter(|line| within(line, 365)).map(|line| line.amount).collect();
    let refunds = |days: i32| lines.iter().filter(|line| line.refund && within(line, days)).count();
    let spend_365d = (!recent.is_empty()).then(|| recent.iter().sum());
    let lifetime = 3000;
    let mut by_sku: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &purchases {
        *by_sku.entry(&line.sku).or_default() += 1;
    }
    let most = by_sku.values().max().copied();
    let (orders, refunds_ever) = (some(invoices(lifetime)), some(refunds(lifetime)));
    User {
        country: lines
            .iter()
            .max_by_key(|line| (line.time_ms, &line.place))
            .map(|line| line.country.clone()),
        countries: lines.iter().map(|line| line.country.clone()).collect(),
        orders_30d: some(invoices(30)),
        spend_365d,
        refunds_90d: some(refunds(90)),
        skus: some(by_sku.len()),
        last_purchase_ms: purchases.iter().map(|line| line.time_ms).max(),
        top_sku: by_sku
            .iter()
            .find(|(_, count)| Some(**count) == most)
            .map(|(sku, _)| (*sku).to_owned()),
        orders,
        refunds: refunds_ever,
        value_band: match spend_365d {
            Some(50_000_000..) => Some("gold"),
            Some(10_000_000..) => Some("silver"),
            Some(1..) => Some("bronze"),
            _ => None,
        },
        // Rounded half away from zero.
        refund_rate: orders
            .map(|orders| (2 * refunds_ever.unwrap_or(0) * 10_000 + orders) / (2 * orders)),
    }
}

/// Each tag's number of users and, for numbers, their exact sum as text.
pub(crate) fn totals(users: &[User]) -> Vec<(&'static str, usize, Option<String>)> {
    let whole = |name, value: fn(&User) -> Option<i128>| {
        let values: Vec<i128> = users.iter().filter_map(value).collect();
        (name, values.len(), Some(values.iter().sum::<i128>().to_string()))
    };
    let fixed = |name, value: fn(&User) -> Option<i128>| {
        let values: Vec<i128> = users.iter().filter_map(value).collect();
        let sum: i128 = values.iter().sum();
        let sign = if sum < 0 { "-" } else { "" };
        (
            name,
            values.len(),
            Some(format!("{sign}{}.{:04}", sum.abs() / 10_000, sum.abs() % 10_000)),
        )
    };
    let plain =
        |name, has: fn(&User) -> bool| (name, users.iter().filter(|user| has(user)).count(), None);
    vec![
        whole("orders_30d", |u| u.orders_30d),
        whole("refunds_90d", |u| u.refunds_90d),
        whole("skus", |u| u.skus),
        whole("orders", |u| u.orders),
        whole("refunds", |u| u.refunds),
        fixed("spend_365d", |u| u.spend_365d),
        fixed("refund_rate", |u| u.refund_rate),
        plain("country", |u| u.country.is_some()),
        plain("countries", |u| !u.countries.is_empty()),
        plain("last_purchase", |u| u.last_purchase_ms.is_some()),
        plain("top_sku", |u| u.top_sku.is_some()),
        plain("value_band", |u| u.value_band.is_some()),
    ]
}

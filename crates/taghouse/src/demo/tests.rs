use super::calendar;
use super::dice::{Dice, Stream};
use super::generate::ShopSummary;
use super::session::MAX_LATE_MS;
use super::zipf::Zipf;
use super::{AS_OF, DEFINITIONS, ShopOptions, generate};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use taghouse_rules::{DefinitionFile, Definitions, Expression, TagKind};

const SMALL: ShopOptions = ShopOptions { users: 500, events: 20_000, days: 40, seed: 7 };

fn shop(options: &ShopOptions) -> (tempfile::TempDir, ShopSummary) {
    let folder = tempfile::tempdir().unwrap();
    let summary = generate(folder.path(), options, &|_, _| ()).unwrap();
    (folder, summary)
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// FNV-1a of 64 bits over all names and bytes.
fn checksum(files: &BTreeMap<String, Vec<u8>>) -> u64 {
    let bytes = files.iter().flat_map(|(name, bytes)| name.bytes().chain(bytes.iter().copied()));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn a_seed_gives_the_same_bytes_on_every_machine() {
    let (folder, _) = shop(&SMALL);
    let files = files(folder.path());
    assert_eq!(files.len(), 41);
    assert_eq!(
        checksum(&files),
        CHECKSUM,
        "the shop of seed 7 has changed; if that is meant, write the new checksum here"
    );
}
const CHECKSUM: u64 = 4_308_775_179_989_091_700;

#[test]
fn another_seed_is_another_shop() {
    let [one, two] = [7, 8].map(|seed| files(shop(&ShopOptions { seed, ..SMALL }).0.path()));
    assert!(
        one.iter().zip(&two).all(|((_, a), (_, b))| a != b),
        "a file is the same for both seeds"
    );
}

/// A line of an events' file that is sound, read without any of our code.
struct Line {
    message_id: String,
    user: String,
    event: String,
    time_ms: i64,
    sku: String,
    quantity: u32,
    order: String,
}

fn sound(record: &csv::ByteRecord) -> Option<Line> {
    let fields: Vec<&str> =
        record.iter().map(|field| std::str::from_utf8(field).ok()).collect::<Option<_>>()?;
    let number_or_none = |text: &str| text.is_empty() || text.parse::<f64>().is_ok();
    if fields.len() != 13
        || fields[1].is_empty()
        || !number_or_none(fields[6])
        || !number_or_none(fields[7])
    {
        return None;
    }
    let text = |index: usize| String::from(fields[index]);
    let time_ms = fields[3].parse::<jiff::Timestamp>().ok()?.as_millisecond();
    let quantity = fields[7].parse().unwrap_or(0);
    Some(Line {
        message_id: text(0),
        user: text(1),
        event: text(2),
        time_ms,
        sku: text(4),
        quantity,
        order: text(8),
    })
}

fn records(bytes: &[u8]) -> Vec<csv::ByteRecord> {
    csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(bytes)
        .into_byte_records()
        .map(|record| record.unwrap())
        .collect()
}

#[test]
fn the_summary_says_what_is_in_the_files() {
    let (folder, summary) = shop(&ShopOptions { events: 60_000, ..SMALL });
    let (mut seen, mut damaged, mut duplicates, mut late, mut bytes) =
        (BTreeSet::new(), 0, 0, 0, 0);
    let mut by_name: BTreeMap<String, u64> = BTreeMap::new();
    let days = calendar::days(40, 60_000).unwrap();
    for (name, content) in files(folder.path()) {
        bytes += content.len() as u64;
        let Some(date) = name.strip_prefix("events-").and_then(|name| name.strip_suffix(".csv"))
        else {
            assert_eq!(name, "users.csv");
            assert_eq!(records(&content).len() as u64, summary.user_rows);
            continue;
        };
        let day = days.iter().find(|day| day.date.to_string() == date).unwrap();
        for record in records(&content) {
            match sound(&record) {
                None => damaged += 1,
                Some(line) if !seen.insert(line.message_id.clone()) => duplicates += 1,
                Some(line) => {
                    assert!(
                        (day.start_ms - MAX_LATE_MS..day.end_ms).contains(&line.time_ms),
                        "{} in {name}",
                        line.message_id
                    );
                    late += u64::from(line.time_ms < day.start_ms);
                    *by_name.entry(line.event).or_default() += 1;
                }
            }
        }
    }
    assert_eq!(
        by_name.iter().map(|(name, count)| (name.as_str(), *count)).collect::<BTreeMap<_, _>>(),
        summary.events_by_name
    );
    assert_eq!((seen.len() as u64, summary.events), (60_000, 60_000));
    assert_eq!(
        (damaged, duplicates, late, bytes),
        (summary.damaged.total(), summary.duplicates, summary.late, summary.bytes)
    );
    assert!((60..200).contains(&damaged) && duplicates > 100 && late > 300, "{summary:?}");
    assert_eq!(summary.events_by_name.len(), 6, "all kinds of events");
}

#[test]
fn every_kind_of_damage_comes() {
    let (_folder, summary) = shop(&ShopOptions { events: 100_000, ..SMALL });
    let d = &summary.damaged;
    for count in [d.broken_quotes, d.cut_short, d.no_user, d.bad_number, d.bad_time, d.bad_utf8] {
        assert!(count > 0, "{d:?}");
    }
}

#[test]
fn refunds_follow_their_purchases() {
    let (folder, summary) = shop(&SMALL);
    let mut bought: HashMap<(String, String, String), Vec<(i64, u32)>> = HashMap::new();
    let mut refunds = Vec::new();
    for (name, content) in files(folder.path()) {
        for line in
            records(&content).iter().filter_map(sound).filter(|_| name.starts_with("events"))
        {
            let key = (line.user, line.order, line.sku);
            match line.event.as_str() {
                "purchase" => bought.entry(key).or_default().push((line.time_ms, line.quantity)),
                "refund" => refunds.push((key, line.time_ms, line.quantity)),
                _ => (),
            }
        }
    }
    assert!(refunds.len() as u64 >= summary.events_by_name["refund"] && !refunds.is_empty());
    for (key, time_ms, quantity) in refunds {
        let fits =
            bought[&key].iter().any(|&(bought_ms, had)| bought_ms < time_ms && quantity <= had);
        assert!(fits, "{key:?} is sent back before it is bought, or more than was bought");
    }
}

#[test]
fn a_few_are_drawn_most() {
    let zipf = Zipf::new(1000, 9);
    let mut dice = Dice::new(1, Stream::Lines);
    let mut drawn = [0_u32; 1000];
    for _ in 0..1_000_000 {
        drawn[zipf.draw(&mut dice) as usize] += 1;
    }
    let weights: Vec<f64> = (0..1000).map(|rank| 1.0 / f64::from(rank + 10)).collect();
    let total: f64 = weights.iter().sum();
    for rank in [0, 1, 10, 100, 999] {
        let expected = weights[rank] / total * 1_000_000.0;
        let found = f64::from(drawn[rank]);
        assert!(
            (found - expected).abs() < 5.0 * expected.sqrt(),
            "rank {rank}: {found} times, expected {expected}"
        );
    }
}

#[test]
fn days_follow_the_clocks_and_share_all_events() {
    let days = calendar::days(180, 1_000_003).unwrap();
    assert_eq!(days.iter().map(|day| day.events).sum::<u64>(), 1_000_003);
    assert_eq!(
        (days[0].date.to_string().as_str(), days[179].date.to_string().as_str()),
        ("2026-01-02", "2026-06-30")
    );
    assert!(days.windows(2).all(|pair| pair[0].end_ms == pair[1].start_ms));
    let hours = |date: &str| {
        days.iter()
            .find(|day| day.date.to_string() == date)
            .map(|day| (day.end_ms - day.start_ms) / calendar::HOUR_MS)
    };
    assert_eq!((hours("2026-03-28"), hours("2026-03-29")), (Some(24), Some(23)));
    assert!(calendar::days(0, 1).is_err() && calendar::days(3651, 1).is_err());
}

#[test]
fn civil_dates_agree_with_a_calendar() {
    for day in (-40_000..60_000).step_by(7) {
        let (year, month, date) = calendar::civil(day);
        let found = jiff::civil::date(year as i16, month as i8, date as i8);
        assert_eq!(calendar::day_number(found), day);
    }
}

#[test]
fn a_tiny_shop_is_a_shop() {
    let (folder, summary) = shop(&ShopOptions { users: 1, events: 3, days: 1, seed: 0 });
    assert_eq!((summary.events, summary.users, files(folder.path()).len()), (3, 1, 2));
    assert!(generate(folder.path(), &ShopOptions { users: 0, ..SMALL }, &|_, _| ()).is_err());
}

#[test]
fn the_definitions_check_and_use_every_kind_of_tag() {
    let files: Vec<DefinitionFile> = DEFINITIONS
        .iter()
        .map(|(path, text)| DefinitionFile { path: (*path).into(), text: (*text).into() })
        .collect();
    let documents = taghouse_rules::parse_definitions(&files).unwrap();
    let definitions = Definitions::check(&documents).unwrap();
    assert!(definitions.tags.len() >= 18 && definitions.crowds.len() >= 8);
    assert!(super::FILE_SOURCES.iter().all(|source| definitions.sources.contains_key(*source)));
    assert_eq!(definitions.app.id.to_string(), super::APP);
    let mut functions = HashSet::new();
    let mut kinds = BTreeSet::new();
    for tag in definitions.tags.values() {
        kinds.insert(match &tag.kind {
            TagKind::Attribute { .. } => "attribute",
            TagKind::Cohort { .. } => "cohort",
            TagKind::Expression(Expression::Scalar(_)) => "expression",
            TagKind::Expression(Expression::Condition(_)) => "condition",
            TagKind::Sql { .. } => "sql",
            TagKind::Session(_) => "session",
            TagKind::State(_) => "state",
            TagKind::Sequence(_) => "sequence",
            TagKind::Aggregate(aggregate) => {
                functions.insert(aggregate.function);
                "aggregate"
            }
        });
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        [
            "aggregate",
            "attribute",
            "cohort",
            "condition",
            "expression",
            "sequence",
            "session",
            "sql",
            "state"
        ]
    );
    assert_eq!(functions.len(), 10, "every function: {functions:?}");
}

#[test]
fn the_as_of_time_is_the_end_of_the_last_day() {
    let as_of: jiff::civil::DateTime = AS_OF.parse().unwrap();
    let end_ms = calendar::days(1, 1).unwrap()[0].end_ms;
    assert_eq!(as_of.in_tz("Europe/Berlin").unwrap().timestamp().as_millisecond(), end_ms);
}

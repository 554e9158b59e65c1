//! What a crowd is like, beside what counting row by row gives: missing values, sets, nobody and
//! everybody among them.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, reason = "each test file uses a part")]
mod shop;

use proptest::prelude::*;
use rust_decimal::Decimal;
use shop::{Row, Shop, ten};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_crowd::{
    Axis, Bins, Buckets, CompareOrder, CompareRequest, Cross, DEFAULT_QUANTILES,
    DistributionRequest, Error, Group, MAX_BINS, MAX_COMPARED_TAGS, MAX_CONTRASTS, MAX_GROUPS,
    MAX_OVERLAP_ITEMS, MAX_PAGE, MAX_QUANTILES, MAX_TOP, Question,
};
use taghouse_model::{ErrorKind, Value};

const ALL_TAGS: [&str; 6] = ["orders", "country", "vip", "spend", "badges", "since"];
/// What is asked about: all, some, nobody, another crowd.
const ASKED: [Option<&str>; 6] = [
    None,
    Some("orders >= 1"),
    Some("country == \"France\" || badges == \"a\""),
    Some("orders > 100"),
    Some("crowd(\"first\")"),
    Some("!(spend is set) || vip == true"),
];

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let values = (
        proptest::option::of(-3i64..6),
        proptest::option::of(prop_oneof![
            Just("France"),
            Just("Spain"),
            Just("Italy"),
            Just("United Kingdom")
        ]),
        proptest::option::of(any::<bool>()),
        proptest::option::of(-300i64..600),
        proptest::collection::btree_set(
            prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")],
            0..4,
        ),
        proptest::option::of(20_000i32..20_010),
    );
    let row = values.prop_map(|(orders, country, vip, cents, badges, since)| {
        let mut row = Row::new();
        orders.map(|v| row.insert("orders", Value::Int(v)));
        country.map(|v| row.insert("country", Value::text(v)));
        vip.map(|v| row.insert("vip", Value::Bool(v)));
        cents.map(|v| row.insert("spend", Value::Decimal(Decimal::new(v, 2))));
        since.map(|v| row.insert("since", Value::Date(v)));
        if !badges.is_empty() {
            row.insert("badges", Value::Set(badges.into_iter().map(Into::into).collect()));
        }
        row
    });
    proptest::collection::vec(row, 1..70)
}

/// The rows of the users asked about; `first` is the crowd of that name.
fn asked<'r>(shop: &mut Shop, rows: &'r [Row], text: Option<&str>) -> Vec<&'r Row> {
    let Some(text) = text else { return rows.iter().collect() };
    let first = shop.define("first", "orders >= 2 || country == \"France\"");
    let checked = shop.define("asked", text).rule().unwrap().checked.clone();
    shop.definitions.crowds.remove("asked");
    let holds = |row: &Row| {
        let value = |name: &str| match name {
            "crowd:first" => Some(Value::Bool(
                first.rule().unwrap().checked.matches(&|name: &str| row.get(name).cloned()),
            )),
            name => row.get(name).cloned(),
        };
        checked.matches(&value)
    };
    rows.iter().filter(|row| holds(row)).collect()
}

/// A row's values of a tag: of a set its members.
fn values(row: &Row, tag: &str) -> Vec<Value> {
    match row.get(tag) {
        None => Vec::new(),
        Some(Value::Set(set)) => set.iter().cloned().map(Value::Text).collect(),
        Some(value) => vec![value.clone()],
    }
}

fn counted(users: &[&Row], tag: &str) -> BTreeMap<Value, u64> {
    let mut counts = BTreeMap::new();
    users
        .iter()
        .flat_map(|row| values(row, tag))
        .for_each(|value| *counts.entry(value).or_default() += 1);
    counts
}

fn most_first(counts: &BTreeMap<Value, u64>) -> Vec<(Value, u64)> {
    let mut most: Vec<(Value, u64)> =
        counts.iter().map(|(value, users)| (value.clone(), *users)).collect();
    most.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
    most
}

fn question(text: Option<&str>) -> Option<Question> {
    text.map(|text| Question::parse(text).unwrap())
}

async fn shop_with(rows: &[Row]) -> Shop {
    let mut shop = Shop::with(rows).await;
    let first = shop.define("first", "orders >= 2 || country == \"France\"");
    shop.crowds.compute(&shop.definitions, &first).await.unwrap();
    shop
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn every_answer_is_what_counting_row_by_row_gives(rows in rows(), limit in 1usize..6) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { check_all(&mut shop_with(&rows).await, &rows, limit).await })?;
    }

    /// Numbers then are in two parts: stored ones, without whoever changed, and those of live changes.
    #[test]
    fn so_it_is_with_live_changes(before in rows(), after in rows(), kept in proptest::collection::vec(any::<bool>(), 70), limit in 1usize..6) {
        let before = &before[..before.len().min(after.len())];
        let kept = |n: &usize| kept[*n] && *n < before.len();
        let now: Vec<Row> = (0..after.len()).map(|n| if kept(&n) { before[n].clone() } else { after[n].clone() }).collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut shop = shop_with(before).await;
            shop.change(before, &now).await;
            let first = shop.definitions.crowds["first"].clone();
            shop.crowds.compute(&shop.definitions, &first).await.unwrap();
            check_all(&mut shop, &now, limit).await
        })?;
    }
}

/// So many that every user's number is read.
#[tokio::test]
async fn the_top_of_many_different_numbers() {
    let row = |cents: i64| {
        Row::from([
            ("spend", Value::Decimal(Decimal::new(cents, 2))),
            ("orders", Value::Int(cents % 40)),
        ])
    };
    let before: Vec<Row> = (0..2000).map(|n| row(n * 7 % 1500)).collect();
    let mut now = before.clone();
    now.iter_mut().step_by(9).for_each(|changed| *changed = row(123));
    now.iter_mut().skip(5).step_by(90).for_each(Row::clear);
    let mut shop = shop_with(&before).await;
    for rows in [&before, &now] {
        // The second is few of the users: they are asked one by one.
        for text in [None, Some("orders == 3"), Some("spend >= 1")] {
            let users = asked(&mut shop, rows, text);
            check_top(&shop, text, &users, "spend", 30).await.unwrap();
        }
        shop.change(&before, &now).await;
    }
}

async fn check_all(shop: &mut Shop, rows: &[Row], limit: usize) -> Result<(), TestCaseError> {
    for text in ASKED {
        let users = asked(shop, rows, text);
        for tag in ALL_TAGS {
            check_top(shop, text, &users, tag, limit).await?;
        }
        for pair in
            [["country", "badges"], ["badges", "vip"], ["orders", "spend"], ["since", "country"]]
        {
            check_cross(shop, text, &users, pair, limit).await?;
        }
        for tag in ["orders", "spend", "since"] {
            check_distribution(shop, text, &users, tag, limit).await?;
        }
        check_pages(shop, text, rows, &users, limit * 3).await?;
    }
    check_overlaps(shop, rows).await?;
    check_comparison(shop, rows).await
}

async fn check_top(
    shop: &Shop,
    text: Option<&str>,
    users: &[&Row],
    tag: &str,
    limit: usize,
) -> Result<(), TestCaseError> {
    let top = shop
        .crowds
        .top(&shop.app, &shop.definitions, question(text).as_ref(), tag, limit)
        .await
        .unwrap();
    let counts = counted(users, tag);
    let found: Vec<(Value, u64)> =
        top.values.iter().map(|found| (found.value.clone(), found.users)).collect();
    let expected: Vec<(Value, u64)> = most_first(&counts).into_iter().take(limit).collect();
    prop_assert_eq!(found, expected, "{} of {:?}", tag, text);
    let with_value = users.iter().filter(|row| row.contains_key(tag)).count() as u64;
    prop_assert_eq!(
        (top.users, top.distinct, top.with_value),
        (users.len() as u64, counts.len(), with_value)
    );
    prop_assert!(
        top.values
            .iter()
            .all(|found| (found.share * users.len() as f64 - found.users as f64).abs() < 1e-9)
    );
    Ok(())
}

/// Whether a row is in a group, the groups of the tag's values being given.
fn is_in(row: &Row, tag: &str, group: &Group, groups: &[Group]) -> bool {
    let of = values(row, tag);
    match group {
        Group::Value(value) => of.contains(value),
        Group::Range(from, to) => of.iter().any(|value| (from..=to).contains(&value)),
        Group::Others => of.iter().any(|value| {
            !groups.iter().any(|group| {
                matches!(group, Group::Value(listed) if listed == value)
                    || matches!(group, Group::Range(..))
            })
        }),
        Group::None => of.is_empty(),
    }
}

async fn check_cross(
    shop: &Shop,
    text: Option<&str>,
    users: &[&Row],
    tags: [&str; 2],
    limit: usize,
) -> Result<(), TestCaseError> {
    for buckets in [Buckets::Quantiles, Buckets::EqualWidths] {
        let axes = tags.map(|tag| Axis { tag: tag.to_owned(), limit, buckets });
        let cross = shop
            .crowds
            .cross(&shop.app, &shop.definitions, question(text).as_ref(), axes)
            .await
            .unwrap();
        let Cross { rows, columns, counts, .. } = &cross;
        prop_assert_eq!(cross.users, users.len() as u64);
        for (tag, headings) in tags.into_iter().zip([rows, columns]) {
            let groups: Vec<Group> = headings.iter().map(|heading| heading.group.clone()).collect();
            prop_assert_eq!(&groups[groups.len() - 2..], &[Group::Others, Group::None]);
            for heading in headings {
                let expected =
                    users.iter().filter(|row| is_in(row, tag, &heading.group, &groups)).count()
                        as u64;
                prop_assert_eq!(
                    heading.users,
                    expected,
                    "{:?} of {} in {:?}",
                    heading.group,
                    tag,
                    text
                );
            }
            let ranges = groups.iter().filter(|group| matches!(group, Group::Range(..))).count();
            prop_assert!(ranges <= limit);
            if !matches!(tag, "orders" | "spend" | "since") {
                let listed: Vec<Value> = groups
                    .iter()
                    .filter_map(|g| {
                        if let Group::Value(value) = g { Some(value.clone()) } else { None }
                    })
                    .collect();
                let expected: Vec<Value> = most_first(&counted(users, tag))
                    .into_iter()
                    .take(limit)
                    .map(|(value, _)| value)
                    .collect();
                prop_assert_eq!(listed, expected);
            }
            if tag != "badges" {
                prop_assert_eq!(
                    headings.iter().map(|heading| heading.users).sum::<u64>(),
                    cross.users,
                    "{} is not a partition",
                    tag
                );
            }
        }
        let groups = [rows, columns].map(|headings| {
            headings.iter().map(|heading| heading.group.clone()).collect::<Vec<_>>()
        });
        for (place, count) in counts.iter().enumerate() {
            let (row, column) =
                (&groups[0][place / columns.len()], &groups[1][place % columns.len()]);
            let both = |user: &Row| {
                is_in(user, tags[0], row, &groups[0]) && is_in(user, tags[1], column, &groups[1])
            };
            prop_assert_eq!(
                *count,
                users.iter().filter(|user| both(user)).count() as u64,
                "{:?} and {:?} in {:?}",
                row,
                column,
                text
            );
        }
        prop_assert_eq!(counts.len(), rows.len() * columns.len());
    }
    Ok(())
}

async fn check_distribution(
    shop: &Shop,
    text: Option<&str>,
    users: &[&Row],
    tag: &str,
    limit: usize,
) -> Result<(), TestCaseError> {
    let mut numbers: Vec<Value> = users.iter().filter_map(|row| row.get(tag).cloned()).collect();
    numbers.sort();
    let within = question(text);
    let edges = match tag {
        "orders" => ["-1", "2", "3"],
        "spend" => ["-1.5", "0", "2.25"],
        _ => ["2024-10-05", "2024-10-06", "2024-10-09"],
    };
    let edges: Vec<String> = edges.map(str::to_owned).to_vec();
    for bins in [Bins::Count(limit), Bins::Edges(edges)] {
        let request = DistributionRequest {
            tag: tag.to_owned(),
            bins: bins.clone(),
            quantiles: DEFAULT_QUANTILES.to_vec(),
        };
        let found = shop
            .crowds
            .distribution(&shop.app, &shop.definitions, within.as_ref(), &request)
            .await
            .unwrap();
        prop_assert_eq!((found.users, found.count), (users.len() as u64, numbers.len() as u64));
        prop_assert_eq!(
            (found.min.as_ref(), found.max.as_ref()),
            (numbers.first(), numbers.last())
        );
        for bin in &found.bins {
            let expected =
                numbers.iter().filter(|number| (&bin.from..=&bin.to).contains(number)).count()
                    as u64;
            prop_assert_eq!(bin.users, expected, "{:?} of {} in {:?}", bin, tag, text);
        }
        let all = found.bins.iter().map(|bin| bin.users).sum::<u64>() + found.below + found.above;
        prop_assert_eq!(all, found.count, "the bins and what is beside them are all: {:?}", found);
        match &bins {
            Bins::Count(_) => {
                prop_assert_eq!((found.below, found.above, found.bins.len() <= limit), (0, 0, true))
            }
            Bins::Edges(_) => prop_assert_eq!(found.bins.len(), 2),
        }
        let nearest = |part: f64| ((part * numbers.len() as f64 - 1e-9).ceil() as usize).max(1) - 1;
        let expected: Vec<(f64, Value)> = DEFAULT_QUANTILES
            .iter()
            .filter_map(|part| Some((*part, numbers.get(nearest(*part))?.clone())))
            .collect();
        prop_assert_eq!(&found.quantiles, &expected);
        let sum: Option<Decimal> = numbers
            .iter()
            .map(|number| match number {
                Value::Int(number) => Some(Decimal::from(*number)),
                Value::Decimal(number) => Some(*number),
                _ => None,
            })
            .sum();
        if tag == "since" {
            prop_assert_eq!((found.sum, found.average), (None, None));
        } else {
            let scale = if tag == "spend" { 2 } else { 0 };
            prop_assert_eq!(Decimal::from_i128_with_scale(found.sum.unwrap(), scale), sum.unwrap());
            let average =
                (!numbers.is_empty()).then(|| sum.unwrap() / Decimal::from(numbers.len()));
            let rounded = average.map(|average| {
                average.round_dp_with_strategy(
                    scale + 4,
                    rust_decimal::RoundingStrategy::MidpointAwayFromZero,
                )
            });
            prop_assert_eq!(found.average, rounded);
        }
    }
    Ok(())
}

async fn check_pages(
    shop: &Shop,
    text: Option<&str>,
    rows: &[Row],
    users: &[&Row],
    limit: usize,
) -> Result<(), TestCaseError> {
    let Some(question) = question(text) else { return Ok(()) };
    let (mut found, mut after, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page = shop
            .crowds
            .page(&shop.app, &shop.definitions, &question, after.as_deref(), limit)
            .await
            .unwrap();
        prop_assert_eq!(page.count, users.len() as u64);
        found.extend(page.users);
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..rows.len())
        .filter(|n| users.iter().any(|user| std::ptr::eq(*user, &rows[*n])))
        .map(|n| format!("u{n}"))
        .collect();
    prop_assert_eq!(
        pages,
        expected.len().div_ceil(limit).max(1),
        "no page is empty but an only one"
    );
    prop_assert_eq!(found, expected);
    Ok(())
}

async fn check_overlaps(shop: &mut Shop, rows: &[Row]) -> Result<(), TestCaseError> {
    let texts = [
        "crowd(\"first\")",
        "country == \"France\"",
        "country == \"Nowhere\"",
        "badges == \"a\"",
        "vip == false",
        "orders > 100",
        "!(orders >= 1)",
    ];
    let sets: Vec<BTreeSet<*const Row>> = texts
        .iter()
        .map(|text| asked(shop, rows, Some(text)).into_iter().map(std::ptr::from_ref).collect())
        .collect();
    let questions: Vec<Question> =
        texts.iter().map(|text| Question::parse(text).unwrap()).collect();
    for (row_texts, columns) in [(&questions[..], None), (&questions[..2], Some(&questions[2..]))] {
        let overlaps =
            shop.crowds.overlaps(&shop.app, &shop.definitions, row_texts, columns).await.unwrap();
        let column_sets = if columns.is_some() { &sets[2..] } else { &sets[..] };
        for (row, a) in sets[..row_texts.len()].iter().enumerate() {
            prop_assert_eq!(overlaps.rows[row], a.len() as u64);
            for (column, b) in column_sets.iter().enumerate() {
                let (both, either) = (a.intersection(b).count(), a.union(b).count());
                prop_assert_eq!(
                    overlaps.count(row, column),
                    Some(both as u64),
                    "{} and {}",
                    row,
                    column
                );
                prop_assert_eq!(
                    overlaps.jaccard(row, column),
                    (either > 0).then(|| both as f64 / either as f64)
                );
                prop_assert_eq!(overlaps.columns[column], b.len() as u64);
            }
        }
        prop_assert_eq!(overlaps.count(0, column_sets.len()), None);
    }
    Ok(())
}

async fn check_comparison(shop: &mut Shop, rows: &[Row]) -> Result<(), TestCaseError> {
    for (crowd, base) in [
        (ASKED[1], None),
        (ASKED[1], ASKED[2]),
        (ASKED[3], None),
        (ASKED[2], ASKED[3]),
        (ASKED[2], ASKED[2]),
    ] {
        let [in_crowd, in_base] = [crowd, base].map(|text| asked(shop, rows, text));
        let request = CompareRequest {
            tags: ALL_TAGS.map(str::to_owned).to_vec(),
            min_users: 0,
            order: CompareOrder::Index,
            limit: MAX_CONTRASTS,
        };
        let (crowd, base) = (question(crowd).unwrap(), question(base));
        let compared = shop
            .crowds
            .compare(&shop.app, &shop.definitions, &crowd, base.as_ref(), &request)
            .await
            .unwrap();
        prop_assert_eq!(
            (compared.crowd, compared.base),
            (in_crowd.len() as u64, in_base.len() as u64)
        );
        let index =
            |found: &taghouse_crowd::Contrast| found.interval.ratio.unwrap_or(f64::INFINITY);
        prop_assert!(compared.contrasts.is_sorted_by(|a, b| index(a) >= index(b)));
        for found in &compared.contrasts {
            let among = |users: &[&Row]| {
                users.iter().filter(|row| is_in(row, &found.tag, &found.group, &[])).count() as u64
            };
            let (a, b) = (among(&in_crowd), among(&in_base));
            prop_assert_eq!((found.crowd_users, found.base_users), (a, b), "{:?}", found);
            let ratio = (b > 0 && !in_crowd.is_empty())
                .then(|| a as f64 / in_crowd.len() as f64 / (b as f64 / in_base.len() as f64));
            match (found.interval.ratio, ratio) {
                (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-9),
                (found, expected) => prop_assert_eq!(found, expected),
            }
            if let (Some(low), Some(ratio), Some(high)) =
                (found.interval.low, found.interval.ratio, found.interval.high)
            {
                prop_assert!(low <= ratio && ratio <= high, "{:?}", found);
            }
        }
        for tag in ALL_TAGS {
            let expected: BTreeSet<Value> = counted(&in_crowd, tag)
                .into_keys()
                .chain(counted(&in_base, tag).into_keys())
                .collect();
            let groups = compared.contrasts.iter().filter(|found| found.tag == tag);
            // Every value of either is in a group, unless a number has no base to be cut by.
            let number = matches!(tag, "orders" | "spend" | "since");
            if !(number && counted(&in_base, tag).is_empty()) {
                let groups: Vec<&Group> = groups.map(|found| &found.group).collect();
                for value in expected {
                    let row = Row::from([("x", value)]);
                    prop_assert_eq!(
                        groups.iter().filter(|group| is_in(&row, "x", group, &[])).count(),
                        1,
                        "{}: {:?}",
                        tag,
                        row
                    );
                }
            }
        }
        let few =
            CompareRequest { min_users: 3, limit: 2, order: CompareOrder::Significance, ..request };
        let listed = shop
            .crowds
            .compare(&shop.app, &shop.definitions, &crowd, base.as_ref(), &few)
            .await
            .unwrap();
        let enough = compared.contrasts.iter().filter(|found| found.base_users >= 3);
        prop_assert_eq!(listed.found, enough.clone().count());
        let most = enough.map(|found| found.interval.score.abs()).fold(0.0, f64::max);
        prop_assert!(
            listed.contrasts.len() <= 2
                && listed.contrasts.first().is_none_or(|first| first.interval.score.abs() == most)
        );
    }
    Ok(())
}

#[tokio::test]
async fn pages_go_on_where_they_ended_whatever_is_published() {
    let shop = Shop::with(&ten()).await;
    let question = Question::parse("orders >= 2").unwrap();
    let page = async |after: Option<&str>, limit| {
        shop.crowds.page(&shop.app, &shop.definitions, &question, after, limit).await
    };
    let first = page(None, 3).await.unwrap();
    assert_eq!(
        (first.users, first.count, first.revision),
        (vec!["u2".to_owned(), "u3".to_owned(), "u4".to_owned()], 8, 1)
    );
    let mut changed = ten();
    changed[5].clear();
    changed.extend(ten());
    shop.produce(&changed).await;
    let second = page(first.next.as_deref(), 3).await.unwrap();
    assert_eq!(
        (second.users, second.revision),
        (vec!["u6".to_owned(), "u7".to_owned(), "u8".to_owned()], 2)
    );
    for (cursor, why) in [("c1-ffff-1-3", "renumbered"), ("u4", "not a cursor of this server")] {
        let error = page(Some(cursor), 3).await.unwrap_err();
        assert!(
            error.to_string().contains(why) && error.to_string().contains("begin again"),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn bounds_hold_the_count_of_the_same_snapshot() {
    let mut shop = shop_with(&ten()).await;
    for text in [
        "orders >= 3",
        "!(orders >= 1)",
        "crowd(\"first\") && vip == true",
        "country == \"Nowhere\"",
    ] {
        let question = Question::parse(text).unwrap();
        let estimate = shop.crowds.estimate(&shop.app, &shop.definitions, &question).await.unwrap();
        let (bounds, exact) =
            shop.crowds.counting(&shop.app, &shop.definitions, &question).await.unwrap();
        let exact = exact.await.unwrap();
        assert_eq!(bounds, estimate);
        assert!(
            estimate.at_least <= exact.count && exact.count <= estimate.at_most,
            "{text}: {estimate:?}, {exact:?}"
        );
        assert_eq!((exact.users, exact.revision, estimate.slow), (10, 1, false));
        assert_eq!(exact.count, asked(&mut shop, &ten(), Some(text)).len() as u64, "{text}");
    }
}

#[tokio::test]
async fn limits_and_wrong_arguments_are_named() {
    let shop = Shop::with(&ten()).await;
    let (app, definitions, crowds) = (&shop.app, &shop.definitions, &shop.crowds);
    let all = Question::parse("orders >= 0").unwrap();
    let axis = |tag: &str, limit| Axis { tag: tag.to_owned(), limit, buckets: Buckets::Quantiles };
    let compare = |tags: Vec<String>, limit| CompareRequest {
        tags,
        min_users: 1,
        order: CompareOrder::Index,
        limit,
    };
    let edges = |edges: &[&str]| Bins::Edges(edges.iter().map(|edge| (*edge).to_owned()).collect());
    let histogram = async |tag: &str, bins: Bins, quantiles: &[f64]| {
        let request =
            DistributionRequest { tag: tag.to_owned(), bins, quantiles: quantiles.to_vec() };
        crowds.distribution(app, definitions, None, &request).await.unwrap_err()
    };
    let many = vec![all.clone(); MAX_OVERLAP_ITEMS + 1];
    let errors = [
        (
            crowds.page(app, definitions, &all, None, MAX_PAGE + 1).await.unwrap_err(),
            "10001 users in one call: the limit is 10000",
        ),
        (crowds.page(app, definitions, &all, None, 0).await.unwrap_err(), "at least 1"),
        (
            crowds.top(app, definitions, None, "country", MAX_TOP + 1).await.unwrap_err(),
            "10001 values in one call: the limit is 10000",
        ),
        (
            crowds
                .cross(app, definitions, None, [axis("vip", MAX_GROUPS + 1), axis("vip", 1)])
                .await
                .unwrap_err(),
            "1001 values or buckets",
        ),
        (
            crowds
                .cross(app, definitions, None, [axis("vip", 1), axis("vip", 0)])
                .await
                .unwrap_err(),
            "at least 1",
        ),
        (histogram("orders", Bins::Count(MAX_BINS + 1), &[]).await, "1001 bins"),
        (histogram("orders", Bins::Count(0), &[]).await, "at least one bin"),
        (histogram("orders", edges(&["1"]), &[]).await, "at least one bin"),
        (histogram("orders", edges(&["1", "1"]), &[]).await, "must ascend"),
        (
            histogram("orders", edges(&["1", "2.5"]), &[]).await,
            "\"2.5\" is not a valid bin edge for tag orders",
        ),
        (
            histogram("spend", edges(&["1", "2.501"]), &[]).await,
            "\"2.501\" is not a valid bin edge for tag spend",
        ),
        (
            histogram("orders", edges(&["1", "2 || vip == true"]), &[]).await,
            "is not a valid bin edge",
        ),
        (
            histogram("since", edges(&["2024-10-05", "soon"]), &[]).await,
            "\"soon\" is not a valid bin edge",
        ),
        (histogram("orders", Bins::Count(3), &[0.5, 1.5]).await, "1.5 is not a valid quantile"),
        (histogram("orders", Bins::Count(3), &vec![0.5; MAX_QUANTILES + 1]).await, "101 quantiles"),
        (histogram("country", Bins::Count(3), &[]).await, "tag country is of type enum"),
        (
            crowds.overlaps(app, definitions, &many, None).await.unwrap_err(),
            "1001 rows of an overlap in one call: the limit is 1000",
        ),
        (
            crowds.overlaps(app, definitions, &many[..1], Some(&many)).await.unwrap_err(),
            "1001 columns of an overlap",
        ),
        (
            crowds
                .compare(
                    app,
                    definitions,
                    &all,
                    None,
                    &compare(vec![String::new(); MAX_COMPARED_TAGS + 1], 1),
                )
                .await
                .unwrap_err(),
            "101 tags",
        ),
        (
            crowds
                .compare(app, definitions, &all, None, &compare(Vec::new(), MAX_CONTRASTS + 1))
                .await
                .unwrap_err(),
            "10001 values",
        ),
    ];
    for (error, expected) in errors {
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let error = crowds.top(app, definitions, None, "contry", 3).await.unwrap_err();
    assert!(
        matches!(error, Error::UnknownTag(_))
            && error.to_string().contains("did you mean `country`"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

//! The language as its users meet it: files in, definitions applied, tags produced, questions asked
//! over the command line and HTTP.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server};
use serde_json::{Value, json};

/// A house with these definitions applied, this file ingested into its only source, and everything
/// produced.
fn house(definitions: &str, file: &str, rows: &str) -> House {
    let house = House::new();
    let source = definitions.lines().find_map(|line| line.strip_prefix("name: ")).unwrap();
    house.ok(&["apply", "-f", house.file("defs.yaml", definitions).to_str().unwrap()]);
    house.ok(&["ingest", "--source", source, house.file(file, rows).to_str().unwrap()]);
    house.ok(&["produce"]);
    house
}

fn value(house: &House, user: &str, tag: &str) -> Value {
    house.json(&["profile", user])["tags"][tag].clone()
}

fn tag<'a>(tags: &'a Value, name: &str) -> &'a Value {
    tags["tags"].as_array().unwrap().iter().find(|tag| tag["name"] == name).unwrap()
}

fn post(server: &Server, path: &str, body: &Value) -> Value {
    let answer = server.post(path, server.admin_key.as_ref().unwrap(), body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.json());
    answer.json()
}

const MOVES: &str = "kind: app
id: t
---
kind: source
name: moves
format: csv
user_id: wallet
event: buy
time: at
properties:
  tokens: { column: tokens, type: decimal, scale: 8 }
---
{kind: tag, name: held, type: decimal, scale: 8, aggregate: {events: [buy], function: sum, value: tokens}}
---
{kind: tag, name: held_whole, type: decimal, scale: 0, aggregate: {events: [buy], function: sum, value: tokens}}
---
{kind: tag, name: biggest, type: decimal, scale: 8, aggregate: {events: [buy], function: max, value: tokens}}
---
{kind: tag, name: millionths, type: int, expression: 'round(held * 1000000, 0)'}
---
{kind: crowd, name: whales, expression: 'held >= 1000'}
";

const MOVES_ROWS: &str = "wallet,at,tokens
w1,2026-03-01T00:00:00Z,60000000000.5
w1,2026-03-02T00:00:00Z,60000000000.5
w2,2026-03-01T00:00:00Z,92233720368.54775807
w3,2026-03-01T00:00:00Z,92233720368.54775808
w4,2026-03-01T00:00:00Z,999.99999999
w5,2026-03-01T00:00:00Z,-92233720368.54775809
w6,2026-03-01T00:00:00Z,0.5
";

#[test]
fn numbers_over_64_bits_are_held_and_those_that_are_not_are_said() {
    let house = house(MOVES, "moves.csv", MOVES_ROWS);
    assert_eq!(
        house.ok(&["export", "whales", "--format", "csv"]).lines().skip(1).collect::<Vec<_>>(),
        ["w1", "w2", "w3"]
    );
    assert_eq!(value(&house, "w1", "held"), json!("120000000001.00000000"));
    assert_eq!(value(&house, "w3", "held"), json!("92233720368.54775808"));
    assert_eq!(value(&house, "w5", "biggest"), json!("-92233720368.54775809"));
    // Rounded once, half away from zero, to the tag's own scale.
    assert_eq!(
        (value(&house, "w6", "held_whole"), value(&house, "w4", "held_whole")),
        (json!("1"), json!("1000"))
    );
    assert_eq!(house.count("held > 92233720368.54775807"), 2);
    assert_eq!(house.count("held == 120000000001"), 1);
    assert_eq!(house.count("held < 0"), 1);
    assert_eq!(house.json(&["histogram", "held"])["max"], json!("120000000001.00000000"));
    // An int has 64 bits: what is beyond is no value, and the run says so.
    assert_eq!(value(&house, "w1", "millionths"), json!(120_000_000_001_000_000_i64));
    let text = MOVES.replace("1000000,", "1000000000,");
    house.ok(&["apply", "-f", house.file("defs.yaml", text).to_str().unwrap()]);
    let said = house.ok(&["produce"]);
    assert!(
        said.contains("succeeded with warnings")
            && said.contains("tag millionths: 4 values were left out, number out of range"),
        "{said}"
    );
    let run = house.json(&["runs"])["runs"][0].clone();
    assert_eq!(run["state"], "succeeded_with_warnings");
    assert!(house.ok(&["runs"]).contains("succeeded with warnings"));
    let tags = house.json(&["tags"]);
    assert_eq!(
        tag(&tags, "millionths")["left_out"].as_object().unwrap().values().next(),
        Some(&json!(4)),
        "{tags}"
    );
    assert_eq!(tag(&tags, "held")["left_out"], json!({}));
    assert_eq!(value(&house, "w1", "millionths"), Value::Null);
}

const BALANCE: &str = "kind: app
id: t
---
kind: source
name: p
format: csv
user_id: user
attributes:
  balance: { column: balance, type: decimal, scale: 12 }
---
{kind: tag, name: balance, type: decimal, scale: 12, attribute: balance}
---
{kind: tag, name: about, type: decimal, scale: 2, attribute: balance}
";

#[test]
fn attributes_over_64_bits_are_held() {
    let house = house(
        BALANCE,
        "balance.csv",
        "user,balance\nu1,9223372.036854775807\nu2,9223372.036854775808\n",
    );
    assert_eq!(value(&house, "u2", "balance"), json!("9223372.036854775808"));
    assert_eq!(value(&house, "u2", "about"), json!("9223372.04"));
    assert_eq!(house.count("balance > 9223372.036854775807"), 1);
}

const SPEND: &str = "kind: app
id: t
---
kind: source
name: s
format: csv
user_id: u
attributes:
  spend: { column: spend, type: int }
---
{kind: tag, name: spend, type: int, attribute: spend}
---
{kind: tag, name: big, type: bool, expression: 'spend >= 100'}
---
{kind: tag, name: big_if, type: bool, expression: 'if(spend >= 100, true, false)'}
---
{kind: tag, name: big_cohort, type: bool, cohort: {rules: [{when: 'spend >= 100', value: true}], otherwise: false}}
";

#[test]
fn a_condition_that_does_not_hold_is_false() {
    let house = house(SPEND, "p.csv", "u,spend\nu1,150\nu2,50\nu3,70\n");
    for tag in ["big", "big_if", "big_cohort"] {
        for (text, expected) in [
            ("{} == false", 2),
            ("{} == true", 1),
            ("{}", 1),
            ("not {}", 2),
            ("{} is set", 3),
            ("{} != true", 2),
        ] {
            let text = text.replace("{}", tag);
            assert_eq!(house.count(&text), expected, "{text}");
        }
    }
    let server = house.serve();
    let answer = post(
        &server,
        "/api/v1/apps/t/count",
        &json!({"expression": {"compare": {"name": "big", "op": "==", "literal": false}}}),
    );
    assert_eq!(answer["count"], 2);
}

const GROUPS: &str = "kind: app
id: t
---
kind: source
name: people
format: csv
user_id: id
attributes:
  grp: grp
---
{kind: tag, name: grp, type: enum, attribute: grp}
---
{kind: crowd, name: c, expression: 'grp == \"x\"'}
";

#[test]
fn a_size_stands_beside_the_expression_that_gave_it() {
    let house = house(GROUPS, "p.csv", "id,grp\nu1,x\nu2,y\nu3,y\nu4,\n");
    let crowd = |house: &House| house.json(&["crowds"])["crowds"][0].clone();
    assert_eq!(
        (crowd(&house)["size"].clone(), crowd(&house)["answering"].clone()),
        (json!(1), Value::Null)
    );
    let changed = GROUPS.replace("grp == \"x\"", "grp == \"y\"").replace(
        "---\n{kind: crowd",
        "---\n{kind: tag, name: late, type: bool, expression: 'grp is set'}\n---\n{kind: crowd",
    );
    house.ok(&["apply", "-f", house.file("defs.yaml", changed).to_str().unwrap()]);
    let now = crowd(&house);
    assert_eq!(
        (now["expression"].as_str(), &now["size"], &now["version"]),
        (Some("grp == \"y\""), &Value::Null, &Value::Null),
        "{now}"
    );
    assert_eq!(now["answering"], json!({"expression": "grp == \"x\"", "size": 1, "version": 1}));
    let shown = house.ok(&["crowds"]);
    assert!(shown.contains("changed, not computed") && shown.contains("grp == \"y\""), "{shown}");
    // A tag that was applied and not produced is neither unknown nor empty.
    let said = house.refused(&["count", "late"]);
    assert!(
        said.contains("`late` is defined and not produced yet")
            && said.contains("taghouse produce"),
        "{said}"
    );
    assert!(house.refused(&["top", "late"]).contains("not produced yet"));
    assert!(house.ok(&["tags"]).contains("not produced yet"));
    house.ok(&["produce"]);
    assert_eq!(
        (crowd(&house)["size"].clone(), crowd(&house)["answering"].clone()),
        (json!(2), Value::Null)
    );
    assert_eq!(house.count("late"), 3);
}

const CODES: &str = "kind: app
id: t
---
kind: source
name: people
format: csv
user_id: id
attributes:
  code: code
  code_n: { column: code, type: int }
---
{kind: tag, name: code, type: enum, attribute: code}
---
{kind: tag, name: code_n, type: int, attribute: code_n}
";

#[test]
fn lists_of_ten_thousand_and_expressions_of_a_megabyte() {
    let rows: String = (0..20_000).map(|n| format!("u{n},{}\n", 10_000_000 + n)).collect();
    let codes = || (0..10_000).map(|n| 10_000_000 + 2 * n);
    let texts: Vec<String> = codes().map(|code| format!("\"{code}\"")).collect();
    let numbers: Vec<String> = codes().map(|code| code.to_string()).collect();
    let (by_text, by_number) =
        (format!("code in ({})", texts.join(",")), format!("code_n in ({})", numbers.join(",")));
    let definitions = format!("{CODES}---\n{{kind: crowd, name: even, expression: '{by_text}'}}\n");
    let house = house(&definitions, "people.csv", &format!("id,code\n{rows}"));
    assert_eq!(house.json(&["crowds"])["crowds"][0]["size"], 10_000);
    assert!(
        house.ok(&["crowds"]).lines().all(|line| line.len() < 400),
        "a list of crowds stays readable"
    );
    assert_eq!((house.count(&by_text), house.count(&by_number)), (10_000, 10_000));
    let file = |name: &str, text: &str| format!("@{}", house.file(name, text).to_str().unwrap());
    assert_eq!(house.count(&file("not.txt", &by_text.replacen(" in ", " not in ", 1))), 10_000);
    let tree = json!({"in": {"name": "code", "literals": codes().map(|code| code.to_string()).collect::<Vec<_>>()}});
    assert_eq!(house.count(&file("tree.json", &tree.to_string())), 10_000);
    let ors: Vec<String> = codes().take(1_000).map(|code| format!("code_n == {code}")).collect();
    assert_eq!(house.count(&ors.join(" || ")), 1_000);
    let long: Vec<String> = codes()
        .map(|code| format!("code == \"{code}\" and code_n is set and code is set"))
        .collect();
    let long = long.iter().cloned().cycle().take(20_000).collect::<Vec<_>>().join(" or ");
    assert!(long.len() > 1_000_000 && long.len() < 2_000_000, "{}", long.len());

    let server = house.serve();
    let count = |expression: Value| {
        post(&server, "/api/v1/apps/t/count", &json!({"expression": expression}))
    };
    assert_eq!(count(json!(by_text))["count"], 10_000);
    assert_eq!(count(tree.clone())["count"], 10_000);
    assert_eq!(count(json!({"not_in": tree["in"]}))["count"], 10_000);
    assert_eq!(count(json!(long))["count"], 10_000);
    let spaced = format!("{by_number}{}", " ".repeat(1_000_000));
    assert_eq!(count(json!(spaced))["count"], 10_000);
    // Nesting has a limit, in text and in JSON, and the answer says so.
    let key = server.admin_key.as_ref().unwrap();
    let deep = format!("{}code_n > 1{}", "(".repeat(100_000), ")".repeat(100_000));
    let refused = server.post("/api/v1/apps/t/count", key, &json!({"expression": deep}));
    assert_eq!(
        (
            refused.status,
            refused.json()["detail"].as_str().unwrap().contains("nested more than 128 deep")
        ),
        (400, true)
    );
    let body = format!(
        "{{\"expression\":{}{{\"is_set\":{{\"name\":\"code\"}}}}{}}}",
        "{\"not\":".repeat(100_000),
        "}".repeat(100_000)
    );
    let refused = server.call(
        "POST",
        "/api/v1/apps/t/count",
        Some(&format!("Bearer {key}")),
        body.as_bytes(),
    );
    assert_eq!(
        (refused.status, refused.json()["detail"].as_str().unwrap().contains("nested too deep")),
        (400, true)
    );
    let refused =
        server.post("/api/v1/apps/t/count", key, &json!({"expression": "x".repeat(3_000_000)}));
    assert!(
        refused.json()["detail"].as_str().unwrap().contains("3000000 bytes, more than 2097152")
    );
}

const SALES: &str = "kind: app
id: t
time_zone: Asia/Kolkata
---
kind: source
name: sales
format: csv
user_id: id
event: buy
time: at
properties:
  dollars: { column: dollars, type: decimal, scale: 2 }
  cds: { column: cds, type: int }
---
{kind: tag, name: dearest, type: decimal, scale: 6, aggregate: {function: max, value: dollars / cds}}
---
{kind: tag, name: all_each, type: decimal, scale: 2, aggregate: {function: sum, value: dollars / cds}}
---
{kind: tag, name: spend, type: decimal, scale: 2, aggregate: {function: sum, value: dollars}}
---
{kind: tag, name: cds, type: int, aggregate: {function: sum, value: cds}}
---
{kind: tag, name: thrice, type: int, expression: 'round(spend / cds * 3, 0)'}
---
{kind: tag, name: fair, type: bool, expression: 'spend / cds * cds == spend'}
---
{kind: tag, name: band, type: enum, cohort: {rules: [{when: 'spend / cds > 10', value: expensive}, {when: 'cds > spend', value: cheap}], otherwise: middle}}
---
{kind: tag, name: seen, type: int, sql: 'SELECT user_id, count(*) AS value FROM events GROUP BY user_id'}
---
{kind: tag, name: ever, type: int, sql: 'SELECT user_id, count(*) AS value FROM all_events GROUP BY user_id'}
---
{kind: tag, name: now, type: date, precision: millisecond, sql: 'SELECT DISTINCT user_id, {as_of} AS value FROM all_events'}
---
{kind: tag, name: hours, type: int, sql: 'SELECT user_id, CAST(sum(date_part(''hour'', {as_of} AT TIME ZONE ''Asia/Kolkata'')) AS BIGINT) AS value FROM all_events GROUP BY user_id'}
---
{kind: tag, name: same_zone, type: bool, sql: 'SELECT user_id, bool_and(arrow_typeof(time) = arrow_typeof({as_of})) AS value FROM all_events GROUP BY user_id'}
";

const SALES_ROWS: &str = "id,at,dollars,cds
a,2026-03-01T10:00:00,10.00,3
b,2026-03-01T10:00:00,89.00,6
c,2026-03-01T10:00:00,0.10,3
c,2026-03-01T11:00:00,0.10,3
c,2026-03-02T00:00:00,0.10,3
d,2026-03-01T10:00:00,5.00,0
";

#[test]
fn divisions_are_exact_until_they_are_rounded_once() {
    let house = house(SALES, "sales.csv", SALES_ROWS);
    assert_eq!(value(&house, "a", "dearest"), json!("3.333333"));
    assert_eq!(value(&house, "b", "thrice"), json!(45));
    assert_eq!(value(&house, "c", "all_each"), json!("0.10"));
    assert_eq!(
        (value(&house, "d", "dearest"), value(&house, "d", "fair")),
        (Value::Null, json!(false))
    );
    assert_eq!(
        (value(&house, "b", "band"), value(&house, "c", "band"), value(&house, "a", "band")),
        (json!("expensive"), json!("cheap"), json!("middle"))
    );
    for (text, expected) in [
        ("spend / cds * 3 == 44.5", 1),
        ("spend / cds * cds == spend", 3),
        ("fair", 3),
        ("spend > cds", 3),
        ("spend / cds > 3.333333", 2),
        ("coalesce(cds, 0) > 0", 3),
        ("band == \"cheap\" and cds > spend", 1),
        ("spend / cds is not set", 1),
        ("spend not in (10, 89)", 2),
        ("not (spend / cds > 1) or cds < 1", 2),
    ] {
        assert_eq!(house.count(text), expected, "{text}");
        let answer = house.json(&["count", text]);
        let file = house.file("tree.json", answer["json"].to_string());
        assert_eq!(
            house.count(&format!("@{}", file.to_str().unwrap())),
            expected,
            "{text} as a tree"
        );
        assert_eq!(
            house.count(answer["expression"].as_str().unwrap()),
            expected,
            "{text} as printed"
        );
    }
}

#[test]
fn as_of_times_that_differ_are_said_or_refused_and_queries_see_what_was_before() {
    let house = house(SALES, "sales.csv", SALES_ROWS);
    house.ok(&["produce", "--as-of", "2026-03-02T00:00"]);
    assert_eq!(
        (value(&house, "c", "seen"), value(&house, "c", "ever")),
        (json!(2), json!(3)),
        "the event of that instant is not before it"
    );
    assert_eq!(value(&house, "a", "now"), json!("2026-03-01T18:30:00Z"));
    assert_eq!(value(&house, "a", "same_zone"), json!(true));
    assert_eq!(
        value(&house, "a", "hours"),
        json!(0),
        "midnight in the app's zone, not moved by its offset"
    );
    assert_eq!(house.json(&["count", "spend > cds"])["newest_as_of"], Value::Null);
    assert_eq!(house.count("spend > cds"), 3);
    house.ok(&["produce", "--tag", "cds", "--as-of", "2026-03-03T00:00"]);
    let answer = house.json(&["count", "spend > cds"]);
    assert_eq!(
        (&answer["as_of"], &answer["newest_as_of"]),
        (&json!("2026-03-02T00:00:00+05:30"), &json!("2026-03-03T00:00:00+05:30"))
    );
    let output = house.run(&["count", "spend > cds"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("2026-03-02T00:00:00+05:30") && said.contains("2026-03-03T00:00:00+05:30"),
        "{said}"
    );
    let refused = house.refused(&["count", "spend > cds", "--strict-as-of"]);
    assert!(refused.contains("as of two times"), "{refused}");
    assert_eq!(house.ok(&["count", "cds > 1", "--strict-as-of"]).trim(), "3");
}

const LABELS: &str = "kind: app
id: t
---
kind: source
name: visits
format: jsonl
user_id: id
event: visit
time: at
message_id: m
properties:
  labels: { column: labels, type: set }
---
{kind: tag, name: labels, type: set, aggregate: {function: set, value: labels}}
---
{kind: tag, name: kinds, type: int, aggregate: {function: count_distinct, value: labels}}
---
{kind: tag, name: favourite, type: enum, aggregate: {function: most_frequent, value: labels}}
---
{kind: tag, name: latest, type: set, aggregate: {function: last, value: labels}}
---
{kind: tag, name: red_visits, type: int, aggregate: {function: count, where: 'labels has any (\"red\", \"pink\")'}}
---
{kind: crowd, name: both, expression: 'labels has all (\"red\", \"blue\")'}
";

#[test]
fn sets_are_aggregated_and_compared() {
    let row = |id: &str, n: u32, labels: &[&str]| json!({"id": id, "m": format!("{id}{n}"), "at": format!("2026-03-0{n}T00:00:00Z"), "labels": labels});
    let rows = [
        row("a", 1, &["red", "blue"]),
        row("a", 2, &["red"]),
        row("a", 3, &["green", "red"]),
        row("b", 1, &["blue"]),
        row("b", 2, &["pink", "blue"]),
    ];
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let house = house(LABELS, "visits.jsonl", &text);
    assert_eq!(value(&house, "a", "labels"), json!(["blue", "green", "red"]));
    assert_eq!((value(&house, "a", "kinds"), value(&house, "b", "kinds")), (json!(3), json!(2)));
    assert_eq!(
        (value(&house, "a", "favourite"), value(&house, "b", "favourite")),
        (json!("red"), json!("blue"))
    );
    assert_eq!(value(&house, "a", "latest"), json!(["green", "red"]));
    assert_eq!(
        (value(&house, "a", "red_visits"), value(&house, "b", "red_visits")),
        (json!(3), json!(1))
    );
    assert_eq!(house.json(&["crowds"])["crowds"][0]["size"], 1);
    for (text, expected) in [
        ("labels has any (\"pink\", \"green\")", 2),
        ("labels has all (\"blue\")", 2),
        ("labels has all (\"blue\", \"pink\")", 1),
        ("not labels has any (\"pink\")", 1),
        ("labels not in (\"red\")", 1),
        ("labels == favourite", 2),
        ("latest == favourite and kinds > 2", 1),
    ] {
        assert_eq!(house.count(text), expected, "{text}");
    }
}

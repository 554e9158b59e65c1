//! What productions keep: values changed by hand, and that users were deleted or expired. A later
//! event or value wins, and nothing else does.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server};
use serde_json::{Value, json};

const SHOP: &str = "
kind: app
id: t
time_zone: UTC
---
{kind: source, name: s, format: csv, files: 'e*.csv', user_id: u, event: e, time: at, properties: {}}
---
{kind: source, name: p, format: csv, files: 'p*.csv', user_id: u, time: at, attributes: {plan: plan, likes: {column: likes, type: set}}}
---
{kind: source, name: site, format: segment, attributes: {plan: plan, likes: {column: likes, type: set}}}
---
{kind: tag, name: last_seen, type: date, aggregate: {function: last, value: time}}
---
{kind: tag, name: n, type: int, aggregate: {function: count, events: [e]}}
---
{kind: tag, name: n_7d, type: int, aggregate: {function: count, events: [e], window: 7d}}
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: tag, name: likes, type: set, attribute: likes}
---
{kind: tag, name: twice, type: int, expression: n * 2}
---
kind: tag
name: band
type: enum
cohort: {rules: [{when: 'twice >= 20', value: high}], otherwise: low}
---
kind: tag
name: rows
type: int
sql: SELECT user_id, count(*) AS value FROM events GROUP BY user_id
---
{kind: crowd, name: all_, expression: 'n >= 1'}
---
{kind: crowd, name: pro, expression: 'plan == \"pro\"'}
";

struct Shop {
    house: House,
}

impl Shop {
    fn open() -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", house.file("shop.yaml", SHOP).to_str().unwrap()]);
        let shop = Self { house };
        shop.events(
            "e1.csv",
            &["old,2024-01-01T00:00:00Z", "new1,2026-11-01T00:00:00Z", "new2,2026-11-02T00:00:00Z"],
        );
        let people = "u,at,plan,likes\nnew1,2026-11-01T00:00:00Z,free,\"[\"\"tea\"\",\"\"milk\"\"]\"\nnew2,2026-11-01T00:00:00Z,free,\n";
        shop.ingest("p", "p1.csv", people);
        shop.produce();
        shop
    }

    fn ingest(&self, source: &str, name: &str, text: &str) {
        let file = self.house.file(name, text);
        self.house.ok(&["ingest", "--source", source, file.to_str().unwrap()]);
    }

    fn events(&self, name: &str, rows: &[&str]) {
        self.ingest("s", name, &format!("u,at\n{}\n", rows.join("\n")));
    }

    fn produce(&self) {
        self.house.ok(&["produce"]);
    }

    fn profile(&self, user: &str) -> Value {
        self.house.json(&["profile", user])["tags"].clone()
    }

    fn is_gone(&self, user: &str) {
        let said = self.house.refused(&["profile", user]);
        assert!(said.contains(&format!("there is no user \"{user}\"")), "{said}");
    }

    /// A live call of this moment.
    fn call(&self, path: &str, body: &Value) {
        let server = self.house.serve();
        self.call_at(&server, path, body);
    }

    fn call_at(&self, server: &Server, path: &str, body: &Value) {
        let key = self.house.json(&["keys", "create", "--role", "write"])["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(server.post(path, &key, body).status, 200);
    }
}

#[test]
fn who_was_deleted_or_expired_stays_away() {
    let shop = Shop::open();
    assert_eq!(shop.house.count("n >= 1"), 3);
    // Ahead of its time, and so later than the deletion by its own word.
    #[allow(clippy::disallowed_methods, reason = "the server's clock is the system's")]
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(12);
    shop.events("e2.csv", &[&format!("new1,{tomorrow}")]);
    shop.house.ok(&["compact", "--expire", "last_seen < \"2025-01-01\""]);
    shop.house.ok(&["delete", "new1"]);
    for arguments in [
        &["produce"][..],
        &["produce"],
        &["produce", "--as-of", "2026-11-20T00:00"],
        &["produce", "--tag", "n"],
        &["produce"],
    ] {
        shop.house.ok(arguments);
        assert_eq!(shop.house.ok(&["list", "n is set or !(n is set)"]), "new2\n", "{arguments:?}");
        assert_eq!(shop.house.json(&["crowds"])["crowds"][0]["size"], 1, "{arguments:?}");
        shop.is_gone("old");
        shop.is_gone("new1");
    }
    // What comes late, and what says nothing new, brings nobody back.
    shop.events("e3.csv", &["new1,2026-11-03T00:00:00Z", "old,2026-11-03T00:00:00Z"]);
    shop.ingest("p", "p2.csv", "u,at,plan,likes\nnew1,2026-11-04T00:00:00Z,pro,\n");
    shop.produce();
    shop.is_gone("old");
    shop.is_gone("new1");
    // What is newer does, and what was before stays forgotten, by queries too.
    shop.call("/v1/track", &json!({"userId": "new1", "event": "e"}));
    shop.call("/v1/identify", &json!({"userId": "old", "traits": {"plan": "pro"}}));
    shop.produce();
    let back = shop.profile("new1");
    assert_eq!(
        (&back["n"], &back["plan"], &back["rows"]),
        (&json!(1), &json!(null), &json!(1)),
        "{back}"
    );
    let back = shop.profile("old");
    assert_eq!((&back["n"], &back["plan"]), (&json!(null), &json!("pro")), "{back}");
    // Once more.
    shop.house.ok(&["delete", "new1"]);
    shop.produce();
    shop.is_gone("new1");
    shop.house.ok(&["change", "new1", "plan", "pro", "--create"]);
    shop.produce();
    assert_eq!(shop.profile("new1")["plan"], "pro", "a change is a later value");
    assert_eq!(shop.profile("new1")["n"], json!(null));
}

#[test]
fn an_id_that_no_production_has_seen_is_deleted_all_the_same() {
    let shop = Shop::open();
    shop.events("e2.csv", &["unseen,2026-11-05T00:00:00Z"]);
    let said = shop.house.ok(&["delete", "unseen"]);
    assert!(
        said.contains("deleted nobody at ")
            && said.contains("not known, and remembered as deleted: unseen"),
        "{said}"
    );
    // Neither what is there already nor what comes late makes a user of it.
    shop.events("e3.csv", &["unseen,2026-11-06T00:00:00Z"]);
    for _ in 0..2 {
        shop.produce();
        shop.is_gone("unseen");
        assert_eq!(shop.house.count("n >= 1"), 3);
    }
    shop.call("/v1/track", &json!({"userId": "unseen", "event": "e"}));
    shop.produce();
    assert_eq!(shop.profile("unseen")["n"], 1);
    // A call of no id, or of what cannot be one, deletes none of those that it names.
    let key = shop.house.json(&["keys", "create", "--role", "admin"])["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let server = shop.house.serve();
    for wrong in ["".to_owned(), "x".repeat(600)] {
        let refused =
            server.post("/api/v1/apps/t/users/delete", &key, &json!({"users": ["new1", wrong]}));
        assert_eq!(refused.status, 400, "{}", refused.json());
    }
    assert_eq!(shop.profile("new1")["n"], 1);
}

#[test]
fn a_change_by_hand_holds_until_a_later_value_of_its_tag() {
    let shop = Shop::open();
    let change = |arguments: &[&str]| shop.house.ok(&[&["change"], arguments].concat());
    change(&["new1", "plan", "pro"]);
    change(&["new2", "plan", "--unset"]);
    change(&["new1", "likes", "--add", "cake"]);
    change(&["new1", "likes", "--remove", "milk"]);
    change(&["new2", "likes", "wine,rum"]);
    let check = |when: &str| {
        assert_eq!(shop.profile("new1")["plan"], "pro", "{when}");
        assert_eq!(shop.profile("new2")["plan"], json!(null), "{when}");
        assert_eq!(shop.profile("new1")["likes"], json!(["cake", "tea"]), "{when}");
        assert_eq!(shop.profile("new2")["likes"], json!(["rum", "wine"]), "{when}");
        assert_eq!(shop.house.ok(&["list", "plan == \"pro\""]), "new1\n", "{when}");
    };
    check("at once");
    for arguments in [
        &["produce"][..],
        &["produce"],
        &["produce", "--as-of", "2026-11-20T00:00"],
        &["produce", "--tag", "plan"],
        &["compact"],
        &["produce"],
    ] {
        shop.house.ok(arguments);
        check(&format!("{arguments:?}"));
    }
    // A value that comes late is not a later one.
    shop.ingest(
        "p",
        "p2.csv",
        "u,at,plan,likes\nnew1,2026-11-05T00:00:00Z,late,\"[\"\"tea\"\",\"\"milk\"\"]\"\nnew2,2026-11-05T00:00:00Z,late,\n",
    );
    shop.produce();
    assert_eq!(
        (shop.profile("new1")["plan"].clone(), shop.profile("new2")["plan"].clone()),
        (json!("pro"), json!(null))
    );
    // A later value wins, of this tag and this user.
    shop.call("/v1/identify", &json!({"userId": "new1", "traits": {"plan": "team"}}));
    shop.call("/v1/identify", &json!({"userId": "new2", "traits": {"likes": ["water"]}}));
    shop.produce();
    assert_eq!(
        (shop.profile("new1")["plan"].clone(), shop.profile("new1")["likes"].clone()),
        (json!("team"), json!(["cake", "tea"]))
    );
    assert_eq!(
        (shop.profile("new2")["plan"].clone(), shop.profile("new2")["likes"].clone()),
        (json!(null), json!(["water"]))
    );
    // And a later change over that.
    change(&["new1", "plan", "last"]);
    shop.produce();
    assert_eq!(shop.profile("new1")["plan"], "last");
}

#[test]
fn a_change_of_a_computed_tag_holds_until_a_later_event_of_what_it_is_made_of() {
    let shop = Shop::open();
    let change = |tag: &str, value: &str| shop.house.ok(&["change", "new1", tag, value]);
    let has = |expected: Value| {
        let found = shop.profile("new1");
        for (tag, value) in expected.as_object().unwrap() {
            assert_eq!(&found[tag], value, "{tag} of {found}");
        }
    };
    change("n", "10");
    change("n_7d", "5");
    shop.produce();
    // What is computed from a changed value is computed from what it is now.
    has(json!({"n": 10, "n_7d": 5, "twice": 20, "band": "high", "rows": 1}));
    change("twice", "7");
    change("rows", "100");
    shop.produce();
    has(json!({"n": 10, "n_7d": 5, "twice": 7, "band": "low", "rows": 100}));
    // An event that no tag but the query looks at, and a value.
    shop.call("/v1/track", &json!({"userId": "new1", "event": "other"}));
    shop.call("/v1/identify", &json!({"userId": "new1", "traits": {"plan": "team"}}));
    shop.produce();
    has(json!({"n": 10, "n_7d": 5, "twice": 7, "band": "low", "rows": 2}));
    // One that they look at.
    shop.call("/v1/track", &json!({"userId": "new1", "event": "e"}));
    shop.produce();
    has(json!({"n": 2, "n_7d": 1, "twice": 4, "band": "low", "rows": 3}));
    // A change of what it is computed from is a later value, too.
    change("twice", "50");
    change("n", "30");
    shop.produce();
    has(json!({"n": 30, "twice": 60, "band": "high"}));
}

#[test]
fn changes_and_deletions_outlive_kills() {
    let shop = Shop::open();
    let mut server = shop.house.serve();
    let key = server.admin_key.clone().unwrap();
    let body = json!({"changes": [{"user": "new2", "tag": "plan", "set": "pro"}, {"user": "made", "tag": "n", "set": 3}], "create": true});
    assert_eq!(server.post("/api/v1/apps/t/changes", &key, &body).status, 200);
    assert_eq!(
        server
            .call("DELETE", "/api/v1/apps/t/users/new1", Some(&format!("Bearer {key}")), b"")
            .status,
        200
    );
    server.kill();
    for _ in 0..2 {
        shop.produce();
        assert_eq!(
            (shop.profile("new2")["plan"].clone(), shop.profile("made")["n"].clone()),
            (json!("pro"), json!(3))
        );
        shop.is_gone("new1");
    }
    // The dictionary and the index are made again from the lake.
    std::fs::remove_dir_all(shop.house.data().join("dictionary")).unwrap();
    shop.produce();
    assert_eq!(
        (shop.profile("new2")["plan"].clone(), shop.profile("made")["n"].clone()),
        (json!("pro"), json!(3))
    );
    shop.is_gone("new1");
}

#[test]
fn an_id_that_was_never_seen_is_refused_unless_a_user_is_to_be_made() {
    let shop = Shop::open();
    let said = shop.house.refused(&["change", "nwe1", "plan", "pro"]);
    assert!(
        said.contains("there is no user \"nwe1\" in app t; did you mean \"new1\"?")
            && said.contains("--create"),
        "{said}"
    );
    let said = shop.house.refused(&["change", "typo", "plan", "--unset"]);
    assert!(said.contains("there is no user \"typo\" in app t: to make"), "{said}");
    let server = shop.house.serve();
    let key = server.admin_key.clone().unwrap();
    let change = |create: Option<bool>| {
        let mut body = json!({"changes": [{"user": "new1", "tag": "plan", "set": "pro"}, {"user": "NEW1", "tag": "plan", "set": "pro"}]});
        if let Some(create) = create {
            body["create"] = json!(create);
        }
        server.post("/api/v1/apps/t/changes", &key, &body)
    };
    for create in [None, Some(false)] {
        let refused = change(create);
        assert!(
            refused.status == 404
                && refused.json()["detail"].as_str().unwrap().contains("did you mean \"new1\"?"),
            "{}",
            refused.json()
        );
    }
    assert_eq!(shop.house.count("plan == \"pro\""), 0, "none of the call was done");
    assert_eq!(change(Some(true)).status, 200);
    drop(server);
    shop.produce();
    assert_eq!(shop.house.count("plan == \"pro\""), 2);
    // Who was deleted is not known either.
    shop.house.ok(&["delete", "NEW1"]);
    assert!(
        shop.house
            .refused(&["change", "NEW1", "plan", "pro"])
            .contains("there is no user \"NEW1\"")
    );
    // What does not fit is refused, and not kept for the next production.
    assert!(
        shop.house
            .refused(&["change", "fresh", "plan", "--add", "x", "--create"])
            .contains("only sets have members")
    );
    shop.produce();
    shop.is_gone("fresh");
    shop.is_gone("NEW1");
}

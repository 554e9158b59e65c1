//! Judgments beyond one user and one crowd: which crowds hold a user, expressions of a request,
//! chosen tags, and why.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;

use driver::{House, Server, eventually};
use serde_json::{Value, json};

const DEFINITIONS: &str = r#"
kind: app
id: t
time_zone: UTC
identities: {}
---
{kind: source, name: site, format: segment, properties: {amount: {column: amount, type: decimal, scale: 2}}, attributes: {plan: plan, level: {column: level, type: int}}}
---
{kind: tag, name: orders, type: int, mode: both, aggregate: {events: [order], function: count}}
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: tag, name: level, type: int, attribute: level}
---
{kind: crowd, name: pros, expression: "plan == \"pro\""}
---
{kind: crowd, name: buyers, live: true, expression: "orders >= 2"}
---
{kind: crowd, name: good, expression: "(crowd(\"pros\") || crowd(\"buyers\")) && !(level < 3) && level + 1 > 2"}
---
{kind: crowd, name: visitors, expression: "did(\"visit\", count >= 2)"}
"#;

struct Site {
    house: House,
    server: Server,
    admin: String,
    write_key: String,
}

impl Site {
    /// ann: pro, level 5, two orders, two visits; bob: free, level 1, two orders; cid: pro, level 3.
    fn open() -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", house.file("app.yaml", DEFINITIONS).to_str().unwrap()]);
        let server = house.serve();
        let admin = server.admin_key.clone().unwrap();
        eventually("readiness", || {
            (server.call("GET", "/readyz", None, b"").status == 200).then_some(())
        });
        let write_key = house.ok(&["keys", "create", "--role", "write"]).trim().to_owned();
        let site = Self { house, server, admin, write_key };
        for (user, plan, level) in [("ann", "pro", 5), ("bob", "free", 1), ("cid", "pro", 3)] {
            let traits = json!({"plan": plan, "level": level});
            site.call("identify", &json!({"userId": user, "traits": traits}));
        }
        for (user, event) in [("ann", "order"), ("ann", "visit"), ("bob", "order")].repeat(2) {
            site.call("track", &json!({"userId": user, "event": event}));
        }
        site
    }

    fn call(&self, kind: &str, body: &Value) {
        let answer = self.server.post(&format!("/v1/{kind}"), &self.write_key, body);
        assert_eq!(answer.status, 200, "{}", answer.json());
    }

    fn get(&self, path: &str) -> Value {
        self.server.get(&format!("/api/v1/apps/t/{path}"), &self.admin).json()
    }

    /// The names of the crowds that hold a user.
    fn crowds(&self, user: &str) -> Vec<String> {
        let body = self.get(&format!("users/{user}/crowds"));
        let crowds = body["crowds"].as_array().unwrap_or_else(|| panic!("{body}"));
        crowds.iter().map(|crowd| crowd["crowd"].as_str().unwrap().to_owned()).collect()
    }

    fn judged(&self, body: &Value) -> (u16, Value) {
        let answer = self.server.post("/api/v1/apps/t/judge", &self.admin, body);
        (answer.status, answer.json())
    }

    fn becomes(&self, user: &str, crowds: &[&str]) {
        eventually(&format!("{crowds:?} of {user}, not {:?}", self.crowds(user)), || {
            (self.crowds(user) == crowds).then_some(())
        });
    }
}

#[test]
fn the_crowds_of_a_user_by_any_id_before_and_after_productions_and_deletions() {
    let site = Site::open();
    // Nothing is produced: the live crowd answers, the others are named.
    site.becomes("ann", &["buyers"]);
    let body = site.get("users/ann/crowds");
    let unanswered = body["unanswered"].as_array().unwrap();
    let names: Vec<&str> = unanswered.iter().map(|u| u["crowd"].as_str().unwrap()).collect();
    assert_eq!(
        (names.as_slice(), &body["unanswered_count"]),
        (&["good", "pros", "visitors"][..], &json!(3))
    );
    assert!(unanswered[0]["why"].as_str().unwrap().contains("taghouse produce"), "{body}");

    site.house.ok(&["produce"]);
    site.becomes("ann", &["buyers", "good", "pros", "visitors"]);
    site.becomes("bob", &["buyers"]);
    site.becomes("cid", &["good", "pros"]);
    let body = site.get("users/ann/crowds");
    assert_eq!(body["crowds"][0], json!({"crowd": "buyers", "version": 0, "live": true}));
    assert_eq!(body["crowds"][1], json!({"crowd": "good", "version": 1, "live": false}));
    assert_eq!((&body["unanswered"], &body["reason"]), (&json!([]), &Value::Null), "{body}");
    assert!(body["age_ms"].as_u64().unwrap() < 60_000);
    let body = site.get("users/nobody/crowds");
    assert_eq!((&body["crowds"], &body["reason"]), (&json!([]), &json!("unknown_user")));
    assert_eq!(site.house.ok(&["users", "crowds", "cid"]), "good\npros\n");

    // Any id, also one with a slash.
    site.house.ok(&["identities", "link", "a/1", "cid", "--type", "device"]);
    assert_eq!(site.crowds("a%2F1"), ["good", "pros"]);
    assert_eq!(site.house.ok(&["users", "crowds", "a/1"]), "good\npros\n");

    // A user who is deleted is in none, at once; the others stay.
    site.house.ok(&["delete", "cid"]);
    let body = site.get("users/cid/crowds");
    assert_eq!((&body["crowds"], &body["reason"]), (&json!([]), &json!("unknown_user")));
    assert_eq!(site.crowds("a%2F1"), [""; 0]);
    assert_eq!(site.crowds("ann").len(), 4);

    // Renumbered, and a definition that goes.
    site.house.ok(&["compact"]);
    site.becomes("ann", &["buyers", "good", "pros", "visitors"]);
    let less = DEFINITIONS.rsplit_once("---").unwrap().0;
    site.house.ok(&["apply", "--prune", "-f", site.house.file("app.yaml", less).to_str().unwrap()]);
    site.becomes("ann", &["buyers", "good", "pros"]);

    // The same as each judgment, and as the export of a user.
    for crowd in ["buyers", "good", "pros"] {
        assert_eq!(site.get(&format!("judge?user=ann&crowd={crowd}"))["in_crowd"], true, "{crowd}");
    }
    let export = site.house.ok(&["users", "export", "ann"]);
    assert_eq!(export.matches(r#""kind":"crowd""#).count(), 3, "{export}");
}

#[test]
fn expressions_of_a_request_stand_beside_crowds() {
    let site = Site::open();
    site.house.ok(&["produce"]);
    site.becomes("ann", &["buyers", "good", "pros", "visitors"]);
    let (status, body) = site.judged(&json!({
        "users": ["ann", "bob", "nobody"],
        "crowds": ["pros", "buyers"],
        "expressions": {
            "keen": "orders >= 2 && crowd(\"pros\")",
            "plain": {"not": {"compare": {"name": "level", "op": ">", "literal": 2}}},
            "sum": "orders + level > 5 || crowd(\"buyers\") && level < 0",
            "not_live": "!crowd(\"buyers\")",
        },
    }));
    assert_eq!(status, 200, "{body}");
    let row = |at: usize| {
        (body["judgments"][at]["crowds"].clone(), body["judgments"][at]["expressions"].clone())
    };
    let says = |keen, plain, sum, not_live| json!({"keen": keen, "plain": plain, "sum": sum, "not_live": not_live});
    assert_eq!(
        row(0),
        (json!({"pros": true, "buyers": true}), says(true, false, true, false)),
        "{body}"
    );
    assert_eq!(
        row(1),
        (json!({"pros": false, "buyers": true}), says(false, true, false, false)),
        "{body}"
    );
    assert_eq!(
        row(2),
        (json!({"pros": false, "buyers": false}), says(false, false, false, false)),
        "{body}"
    );
    assert!(body["revision"].as_u64().unwrap() > 0 && body["versions"]["buyers"] == 0, "{body}");

    // As before, without expressions; and without crowds.
    let (_, body) = site.judged(&json!({"users": ["ann"], "crowds": ["pros"]}));
    assert_eq!(body["judgments"][0], json!({"user": "ann", "crowds": {"pros": true}}), "{body}");
    assert!(body["revision"].is_null(), "{body}");
    let (_, body) = site.judged(&json!({"users": ["ann"], "expressions": {"x": "level == 5"}}));
    assert_eq!(body["judgments"][0]["expressions"], json!({"x": true}), "{body}");

    // What is wrong is said with its place.
    let many: serde_json::Map<String, Value> =
        (0..21).map(|n| (format!("e{n}"), json!("level == 5"))).collect();
    let cases = [
        (json!({"users": ["ann"], "expressions": {"x": "level >="}}), 400, "the expression `x`: "),
        (
            json!({"users": ["ann"], "expressions": {"ok": "level > 1", "x": "leve > 1"}}),
            400,
            "the expression `x`: ",
        ),
        (json!({"users": ["ann"], "expressions": {"x": "leve > 1"}}), 400, "did you mean `level`?"),
        (json!({"users": ["ann"], "expressions": {"x": "crowd(\"pro\")"}}), 400, "pros"),
        (
            json!({"users": ["ann"], "expressions": {"a b": "level > 1"}}),
            400,
            "\"a b\" is not a name",
        ),
        (
            json!({"users": ["ann"], "expressions": many}),
            400,
            "21 expressions in one call: the limit is 20",
        ),
        (
            json!({"users": ["ann"], "expressions": ["level > 1"]}),
            400,
            "expressions: invalid type: sequence",
        ),
    ];
    for (body, expected, words) in cases {
        let (status, answer) = site.judged(&body);
        let detail = answer["detail"].as_str().unwrap();
        assert!(status == expected && detail.contains(words), "{body}: {status} {detail}");
    }
    let twice = br#"{"users": ["ann"], "expressions": {"x": "level > 1", "x": "level > 2"}}"#;
    let key = format!("Bearer {}", site.admin);
    let answer = site.server.call("POST", "/api/v1/apps/t/judge", Some(&key), twice);
    assert!(
        answer.status == 400
            && answer.json()["detail"].as_str().unwrap().contains("`x` is there twice"),
        "{}",
        answer.json()
    );
}

#[test]
fn a_profile_of_chosen_tags() {
    let site = Site::open();
    site.house.ok(&["produce"]);
    let body = site.get("profile?user=ann&tags=level,orders");
    assert_eq!(body["tags"], json!({"level": 5, "orders": 2}), "{body}");
    assert_eq!(body["as_of"].as_object().unwrap().len(), 2);
    site.house.ok(&["change", "bob", "plan", "--unset"]);
    eventually("a tag without a value", || {
        (site.get("profile?user=bob&tags=plan,level")["tags"] == json!({"level": 1})).then_some(())
    });
    let detail = |path: &str| site.get(path)["detail"].as_str().unwrap().to_owned();
    assert!(detail("profile?user=ann&tags=level,order").contains("did you mean `orders`?"));
    assert!(detail("profile?user=ann&tags=level,").contains("an empty name"));
    assert!(detail("profile?user=ann&tags=").contains("an empty name"));
    let shown = site.house.ok(&["profile", "ann", "--tags", "level"]);
    assert!(shown.contains("level") && !shown.contains("orders"), "{shown}");
}

#[test]
fn why_a_user_is_in_a_crowd_or_not() {
    let site = Site::open();
    site.house.ok(&["produce"]);
    site.becomes("bob", &["buyers"]);
    let why = |user: &str, crowd: &str| site.get(&format!("judge/why?user={user}&crowd={crowd}"));

    let body = why("bob", "good");
    assert_eq!(
        (&body["in_crowd"], &body["differs"], &body["version"]["version"]),
        (&json!(false), &json!(false), &json!(1)),
        "{body}"
    );
    let rule = &body["rule"];
    assert_eq!((&rule["kind"], &rule["holds"]), (&json!("and"), &json!(false)), "{body}");
    let part = |at: &[usize]| at.iter().fold(rule.clone(), |part, at| part["parts"][*at].clone());
    assert_eq!((&part(&[0])["kind"], &part(&[0])["holds"]), (&json!("or"), &json!(true)));
    assert_eq!(
        part(&[0, 0])["crowds"],
        json!([{"crowd": "pros", "in_crowd": false, "version": 1, "live": false}])
    );
    assert_eq!(
        part(&[0, 1])["crowds"],
        json!([{"crowd": "buyers", "in_crowd": true, "version": 0, "live": true}])
    );
    assert_eq!(
        (part(&[1])["kind"].clone(), part(&[1])["holds"].clone()),
        (json!("not"), json!(false))
    );
    let level = part(&[1, 0]);
    assert_eq!((&level["text"], &level["holds"]), (&json!("level < 3"), &json!(true)));
    assert_eq!(
        (&level["tags"][0]["tag"], &level["tags"][0]["value"], &level["tags"][0]["live"]),
        (&json!("level"), &json!(1), &json!(false))
    );
    assert!(level["tags"][0]["as_of"].as_str().unwrap().starts_with("20"), "{level}");
    assert_eq!(
        (part(&[2])["text"].clone(), part(&[2])["holds"].clone()),
        (json!("level + 1 > 2"), json!(false))
    );

    // The version is older than the values: the judgment stays the version's, and it is said.
    site.house.ok(&["change", "bob", "level", "7"]);
    let body = eventually("the change", || {
        let body = why("bob", "good");
        (body["rule"]["holds"] == true).then_some(body)
    });
    assert_eq!((&body["in_crowd"], &body["differs"]), (&json!(false), &json!(true)), "{body}");
    let said = site.house.ok(&["why", "bob", "good"]);
    assert!(said.starts_with("out: bob and good, version 1, of values as of 20"), "{said}");
    assert!(said.contains("the rule says otherwise of the values of now"), "{said}");
    assert!(said.contains("\nyes     crowd(\"buyers\")\n          buyers: in, live\n"), "{said}");
    assert!(said.contains("level is 7, as of 20"), "{said}");

    // A missing value, and its negation.
    site.house.ok(&["change", "bob", "level", "--unset"]);
    let body = eventually("the removal", || {
        let body = why("bob", "good");
        body["rule"]["parts"][1]["parts"][0]["tags"][0]["value"].is_null().then_some(body)
    });
    assert_eq!(
        (&body["rule"]["parts"][1]["holds"], &body["rule"]["parts"][2]["holds"]),
        (&json!(true), &json!(false)),
        "{body}"
    );

    // A live crowd is judged by its rule.
    let body = why("ann", "buyers");
    assert_eq!(
        (&body["in_crowd"], &body["live"], &body["version"]),
        (&json!(true), &json!(true), &Value::Null),
        "{body}"
    );
    assert_eq!(
        (&body["rule"]["tags"][0]["value"], &body["rule"]["tags"][0]["live"]),
        (&json!(2), &json!(true)),
        "{body}"
    );

    // What has no name, a user never seen, a crowd that there is not.
    let body = why("ann", "visitors");
    assert_eq!(
        (&body["rule"]["text"], &body["rule"]["tags"][0]["tag"], &body["rule"]["tags"][0]["value"]),
        (&json!("did(\"visit\", count >= 2)"), &Value::Null, &json!(2)),
        "{body}"
    );
    let body = why("nobody", "good");
    assert_eq!(
        (&body["in_crowd"], &body["reason"], &body["rule"]),
        (&json!(false), &json!("unknown_user"), &Value::Null),
        "{body}"
    );
    assert!(why("ann", "goods")["detail"].as_str().unwrap().contains("did you mean `good`?"));

    // A rule that was changed since.
    let other = DEFINITIONS.replace("plan == \\\"pro\\\"", "plan == \\\"free\\\"");
    site.house.ok(&["apply", "-f", site.house.file("app.yaml", other).to_str().unwrap()]);
    let body = why("ann", "pros");
    assert_eq!(
        (&body["in_crowd"], &body["differs"], &body["version"]["former_rule"]),
        (&json!(true), &json!(true), &json!("plan == \"pro\"")),
        "{body}"
    );
}

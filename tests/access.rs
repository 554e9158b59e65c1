//! What keys with grants see and do, what labels forbid, and how exact numbers are: each way in,
//! through HTTP.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{Answer, House, Server, eventually, shop_definitions};
use serde_json::{Value, json};

const ORDERS: &str = "id,user,event,time,sku,amount
1,ann,purchase,2026-06-20T10:00:00,s1,60.10
2,ann,purchase,2026-06-21T10:00:00,s1,50.00
3,bob,purchase,2026-06-20T10:00:00,s2,20.00
4,eve,visit,2026-06-20T10:00:00,,
";

const APP: &str = "/api/v1/apps/corner";

/// A shop with a few users, produced and served.
struct Shop {
    house: House,
    server: Server,
    admin: String,
}

impl Shop {
    /// With `more` definitions, and `access` of the app.
    fn open(access: &str, more: &str) -> Self {
        let house = House::new();
        let shop = std::fs::read_to_string(shop_definitions().join("shop.yaml")).unwrap();
        let shop = shop.replacen("identities: {}\n", &format!("identities: {{}}\n{access}"), 1);
        let file = house.file("shop.yaml", format!("{shop}---\n{more}"));
        house.ok(&["apply", "-f", file.to_str().unwrap()]);
        let orders = house.file("orders-1.csv", ORDERS);
        house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
        house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
        let server = house.serve();
        let admin = server.admin_key.clone().unwrap();
        Self { house, server, admin }
    }

    fn made(&self, key: &Value) -> Value {
        let made = self.server.post("/api/v1/keys", &self.admin, key);
        assert_eq!(made.status, 201, "{}", made.json());
        made.json()
    }

    fn key(&self, role: &str, grants: &[&str]) -> String {
        let key = self.made(&json!({"role": role, "app": "corner", "grants": grants}));
        key["secret"].as_str().unwrap().to_owned()
    }

    fn call(&self, key: &str, call: &Call) -> Answer {
        let place = match call.place.starts_with("/ofrep") {
            true => call.place.to_owned(),
            false => format!("{APP}/{}", call.place),
        };
        let bearer = format!("Bearer {key}");
        let json = [("content-type", "application/json")];
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        self.server.call_with(call.method, &place, Some(&bearer), &json, body.as_bytes())
    }

    fn get(&self, key: &str, place: &str) -> Value {
        let answer = self.call(key, &get(place));
        assert_eq!(answer.status, 200, "{place}: {}", answer.json());
        answer.json()
    }

    /// Why a call is refused.
    fn refused(&self, key: &str, call: &Call) -> String {
        let answer = self.call(key, call);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 403, "{} {} {:?}: {text}", call.method, call.place, call.body);
        let said = answer.json();
        said["detail"].as_str().or(said["errorDetails"].as_str()).unwrap().to_owned()
    }

    fn allowed(&self, key: &str, call: &Call) {
        let answer = self.call(key, call);
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status < 300, "{} {} {:?}: {text}", call.method, call.place, call.body);
    }
}

/// A call of the app.
struct Call {
    method: &'static str,
    place: String,
    body: Option<Value>,
}

fn get(place: &str) -> Call {
    Call { method: "GET", place: place.to_owned(), body: None }
}

fn post(place: &str, body: Value) -> Call {
    Call { method: "POST", place: place.to_owned(), body: Some(body) }
}

/// Every way in that names a tag or a crowd, itself or in an expression; `tag` and `crowd` stand in
/// all of them.
fn ways_in(tag: &str, crowd: &str) -> Vec<Call> {
    let mut calls = vec![
        get(&format!("tags/{tag}")),
        get(&format!("crowds/{crowd}")),
        get(&format!("crowds/{crowd}/versions")),
        get(&format!("crowds/{crowd}/difference?from=1&sample=0")),
        get(&format!("crowds/{crowd}/versions/1/rows")),
        get(&format!("crowds/{crowd}/export")),
        get(&format!("judge?user=ann&crowd={crowd}")),
        get(&format!("judge/why?user=ann&crowd={crowd}")),
        get(&format!("profile?user=ann&tags={tag}")),
        get(&format!("changes?follow=false&from=earliest&crowd={crowd}")),
        get(&format!("changes?follow=false&from=earliest&tag={tag}")),
        post("judge", json!({"users": ["ann"], "crowds": [crowd]})),
        post("top", json!({"tag": tag})),
        post("group", json!({"rows": {"tag": tag}, "columns": {"tag": "purchases"}})),
        post("group", json!({"rows": {"tag": "purchases"}, "columns": {"tag": tag}})),
        post("histogram", json!({"tag": tag})),
        post("compare", json!({"expression": "purchases >= 1", "tags": [tag]})),
        post("changes", json!({"changes": [{"user": "ann", "tag": tag, "unset": true}]})),
        post("produce", json!({"tags": [tag]})),
        post("refresh", json!({"crowds": [crowd], "dependents": false})),
        post(&format!("crowds/{crowd}/publish"), json!({})),
        post(&format!("crowds/{crowd}/rollback"), json!({})),
        post(&format!("crowds/{crowd}/rollout"), json!({"share": "100%"})),
        post(&format!("crowds/{crowd}/import"), json!({"mode": "append", "upload": "00"})),
        Call { method: "PUT", ..get(&format!("crowds/{crowd}/versions/1/pin")) },
        Call { method: "DELETE", ..get(&format!("crowds/{crowd}/versions/1/pin")) },
        Call {
            method: "POST",
            place: format!("/ofrep/v1/evaluate/flags/{crowd}"),
            body: Some(json!({"context": {"targetingKey": "ann"}})),
        },
    ];
    for expression in [
        json!(format!("{tag} is set")),
        json!(format!("purchases >= 1 && !({tag} is set)")),
        json!(format!("purchases >= 1 || crowd(\"{crowd}\")")),
        json!({"not": {"is_set": {"name": tag}}}),
    ] {
        for route in ["count", "count/estimate", "count/stream", "sample", "list"] {
            calls.push(post(route, json!({"expression": expression})));
        }
        calls.push(post("judge", json!({"users": ["ann"], "expressions": {"a": expression}})));
        calls.push(post("top", json!({"tag": "purchases", "expression": expression})));
        calls.push(post("histogram", json!({"tag": "purchases", "expression": expression})));
        calls.push(post("overlap", json!({"rows": ["purchases >= 1", expression]})));
        calls.push(post("overlap", json!({"rows": ["purchases >= 1"], "columns": [expression]})));
        calls.push(post("compare", json!({"expression": expression, "tags": ["purchases"]})));
        calls.push(post(
            "compare",
            json!({"expression": "purchases >= 1", "base": expression, "tags": ["purchases"]}),
        ));
        let axis = json!({"tag": "purchases"});
        calls.push(post("group", json!({"rows": axis, "columns": axis, "expression": expression})));
    }
    for route in ["count", "count/stream"] {
        calls.push(get(&format!("{route}?expression={tag}%20is%20set")));
    }
    calls
}

const SECRETS: &str = "{kind: crowd, name: secret, expression: spend_30d > 1, category: hr}
---
{kind: crowd, name: sales_top, expression: purchases >= 2, category: sales}
---
{kind: crowd, name: sales_list, import: {}, category: sales}
";

#[test]
fn what_is_not_granted_is_refused_in_every_way_in_and_hidden_in_lists() {
    let shop = Shop::open("", SECRETS);
    let every = "view,edit,activate,judge";
    let (purchases, crowds) = (format!("tag:purchases={every}"), format!("category:sales={every}"));
    let limited = shop.key("admin", &[&purchases, &crowds]);
    let whole = shop.key("admin", &[]);

    for call in ways_in("spend_30d", "secret") {
        let said = shop.refused(&limited, &call);
        let named = said.contains("tag spend_30d") || said.contains("crowd secret");
        assert!(
            named && said.contains("an admin of \"corner\"") && said.contains("--grant "),
            "{said}"
        );
    }
    // What is not there is refused likewise, so that nobody learns which names there are.
    for call in ways_in("no_such_tag", "no_such_crowd") {
        assert!(shop.refused(&limited, &call).contains("has no grant"));
    }
    let names = |list: &Value, of: &str| -> Vec<String> {
        let all = list[of].as_array().unwrap().iter();
        all.map(|one| {
            one.as_str().or(one["name"].as_str()).or(one["crowd"].as_str()).unwrap().to_owned()
        })
        .collect()
    };
    assert_eq!(names(&shop.get(&limited, "tags"), "tags"), ["purchases"]);
    assert_eq!(names(&shop.get(&limited, "crowds"), "crowds"), ["sales_list", "sales_top"]);
    assert_eq!(
        names(&shop.get(&limited, "definitions"), "definitions"),
        ["corner", "sales_list", "sales_top", "purchases"]
    );
    assert_eq!(names(&shop.get(&limited, "users/ann/crowds"), "crowds"), ["sales_top"]);
    assert_eq!(shop.get(&limited, "profile?user=ann")["tags"], json!({"purchases": 2}));
    let context = json!({"context": {"targetingKey": "ann"}});
    let flags = Call { place: "/ofrep/v1/evaluate/flags".to_owned(), ..post("", context) };
    let flags = shop.call(&limited, &flags).json();
    let keys: Vec<&str> =
        flags["flags"].as_array().unwrap().iter().map(|f| f["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["sales_list", "sales_top"]);
    assert!(names(&shop.get(&whole, "crowds"), "crowds").contains(&"secret".to_owned()));

    // What is granted works, and what a call is about as a whole does not.
    for call in [
        get("tags/purchases"),
        get("crowds/sales_top"),
        get("crowds/sales_top/export"),
        get("judge?user=ann&crowd=sales_top"),
        get("judge/why?user=ann&crowd=sales_top"),
        post("count", json!({"expression": "purchases >= 1 && crowd(\"sales_top\")"})),
        post("list", json!({"expression": "purchases >= 1"})),
        post("changes", json!({"changes": [{"user": "ann", "tag": "purchases", "set": 3}]})),
        post("uploads", json!({})),
    ] {
        shop.allowed(&limited, &call);
    }
    for place in [
        "sources",
        "files",
        "rejected",
        "runs",
        "live",
        "landing",
        "audit",
        "identities?id=ann",
        "users/ann/export",
        "changes?follow=false",
    ] {
        shop.refused(&limited, &get(place));
    }
    for call in [
        post("produce", json!({})),
        post("compact", json!({})),
        post("users/delete", json!({"users": ["ann"]})),
        post("ingest", json!({"source": "orders"})),
    ] {
        shop.refused(&limited, &call);
    }
    let run = shop.call(&limited, &post("produce", json!({"tags": ["purchases"]}))).json();
    let run = shop.server.run_ended(run["id"].as_str().unwrap(), &limited);
    assert!(run["tasks"].as_array().unwrap().iter().all(|task| task["result"].is_null()), "{run}");
}

#[test]
fn rights_are_told_apart() {
    let shop = Shop::open("", SECRETS);
    let judges = shop.key("viewer", &["crowd:sec*=judge"]);
    shop.allowed(&judges, &get("judge?user=ann&crowd=secret"));
    for place in ["crowds/secret", "crowds/secret/export", "crowds/secret/versions"] {
        shop.refused(&judges, &get(place));
    }
    let said = shop.refused(&judges, &get("judge/why?user=ann&crowd=secret"));
    assert!(said.contains("judge tag spend_30d"), "its parts tell of a tag: {said}");

    let views = shop.key("editor", &["crowd:secret=view", "tag:spend_*=view"]);
    for call in [
        get("crowds/secret"),
        post("count", json!({"expression": "crowd(\"secret\") && spend_30d > 1"})),
    ] {
        shop.allowed(&views, &call);
    }
    shop.allowed(&views, &get("crowds/secret/difference?from=1&to=1&sample=0"));
    for call in [
        get("judge?user=ann&crowd=secret"),
        get("crowds/secret/export"),
        get("crowds/secret/difference?from=1&to=1"),
        post("list", json!({"expression": "spend_30d > 1"})),
        post("sample", json!({"expression": "crowd(\"secret\")"})),
        post("crowds/secret/publish", json!({})),
        post("changes", json!({"changes": [{"user": "ann", "tag": "spend_30d", "set": "1"}]})),
    ] {
        shop.refused(&views, &call);
    }
    let sends = shop.key("viewer", &["crowd:secret=activate"]);
    shop.allowed(&sends, &get("crowds/secret/export"));
    shop.allowed(&sends, &get("crowds/secret"));
    // A grant gives no more than the role does.
    let writes = shop.key("judge", &["crowd:secret=view,edit,activate,judge"]);
    shop.refused(&writes, &get("crowds/secret"));
}

#[test]
fn a_key_with_grants_defines_nothing_that_shows_more() {
    let shop = Shop::open("", SECRETS);
    let limited = shop.key(
        "editor",
        &[
            "category:sales=view,edit",
            "crowd:sales_*=view,edit",
            "tag:sales_*=view,edit",
            "tag:purchases=view",
        ],
    );
    let apply =
        |text: &str| post("definitions", json!({"files": [{"path": "a.yaml", "text": text}]}));
    for (text, words) in [
        ("{kind: crowd, name: sales_a, expression: spend_30d > 5}", "view tag spend_30d"),
        ("{kind: crowd, name: sales_a, expression: 'crowd(\"secret\")'}", "view crowd secret"),
        ("{kind: crowd, name: sales_a, top: {users: 5, by: spend_30d}}", "view tag spend_30d"),
        ("{kind: crowd, name: sales_a, sql: 'SELECT user_id FROM events'}", "rows of sources"),
        ("{kind: crowd, name: sales_a, expression: did(\"purchase\")}", "rows of sources"),
        ("{kind: tag, name: sales_b, type: enum, attribute: city}", "rows of sources"),
        (
            "{kind: tag, name: sales_b, type: int, sql: 'SELECT user_id, 1 AS value FROM events'}",
            "rows of sources",
        ),
        (
            "{kind: tag, name: sales_b, type: int, aggregate: {function: count, events: [purchase]}}",
            "rows of sources",
        ),
        (
            "{kind: tag, name: sales_b, type: decimal, scale: 2, expression: spend_30d / 2}",
            "view tag spend_30d",
        ),
        ("{kind: crowd, name: other, expression: purchases >= 1}", "edit crowd other"),
        (
            "{kind: crowd, name: secret, expression: purchases >= 1, category: sales}",
            "edit crowd secret",
        ),
        ("{kind: tag, name: purchases, type: int, expression: purchases + 1}", ""),
        ("kind: app\nid: corner\ntime_zone: UTC\n", "may not change app"),
        ("{kind: source, name: more, format: segment}", "may not change source"),
    ] {
        let answer = shop.call(&limited, &apply(text));
        let said = answer.json()["detail"].to_string();
        let refused = if words.is_empty() {
            [400, 403].contains(&answer.status)
        } else {
            answer.status == 403
        };
        assert!(refused && said.contains(words), "{text}: {} {said}", answer.status);
    }
    shop.allowed(
        &limited,
        &apply(
            "{kind: crowd, name: sales_a, expression: 'purchases >= 2 && !crowd(\"sales_top\")'}",
        ),
    );
    shop.allowed(
        &limited,
        &apply("{kind: tag, name: sales_b, type: int, expression: purchases + 1}"),
    );
    let pruned = json!({"files": [{"path": "a.yaml", "text": "{kind: crowd, name: sales_a, ids: [ann]}"}], "prune": true});
    shop.refused(&limited, &post("definitions", pruned));
    assert_eq!(shop.get(&shop.admin, "crowds/secret")["category"], "hr");
}

#[test]
fn keys_expire_and_are_rotated() {
    let shop = Shop::open("", SECRETS);
    let status = |secret: &str| shop.call(secret, &get("crowds")).status;
    let made = shop.made(&json!({"role": "viewer", "app": "corner", "expires": "2s"}));
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(status(secret), 200);
    let said = eventually("the key expires", || {
        let answer = shop.call(secret, &get("crowds"));
        (answer.status == 401).then(|| answer.json()["detail"].as_str().unwrap().to_owned())
    });
    assert!(said.contains(&format!("the key {id} expired at ")), "{said}");
    let rotate = |id: &str, body: Value| {
        shop.server.post(&format!("/api/v1/keys/{id}/rotate"), &shop.admin, &body)
    };
    assert_eq!(rotate(id, json!({})).status, 409, "until when is it to work?");
    let again = rotate(id, json!({"expires": "1d", "grace": "0s"})).json();
    assert_eq!(status(again["secret"].as_str().unwrap()), 200);
    assert_eq!(status(secret), 401, "without a grace time");

    let made = shop.made(&json!({"role": "viewer", "app": "corner"}));
    let (id, old) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let new = rotate(id, json!({"grace": "3s"})).json()["secret"].as_str().unwrap().to_owned();
    assert_eq!((status(old), status(&new)), (200, 200), "both work");
    let said = eventually("the former secret expires", || {
        let answer = shop.call(old, &get("crowds"));
        (answer.status == 401).then(|| answer.json()["detail"].as_str().unwrap().to_owned())
    });
    assert!(said.contains("was rotated out"), "{said}");
    assert_eq!(status(&new), 200);
    for (body, words) in [
        (json!({"grace": "31d"}), "at most 30d"),
        (json!({"grace": "soon"}), "grace"),
        (json!({"expires": "2020-01-01T00:00:00Z"}), "is over"),
        (json!({"expires": "later"}), "not an instant"),
    ] {
        let answer = rotate(id, body);
        assert!(
            answer.status == 400 && answer.json()["detail"].as_str().unwrap().contains(words),
            "{}",
            answer.json()
        );
    }
    let listed = shop.server.get("/api/v1/keys", &shop.admin).json();
    let key =
        listed["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone();
    assert!(key["used_ms"].as_i64().unwrap() > key["created_ms"].as_i64().unwrap(), "{key}");
    let secrets = shop.house.ok(&["--app", "corner", "keys", "rotate", id]);
    assert_eq!((status(secrets.trim()), status(&new)), (200, 200));
    shop.house.ok(&["keys", "revoke", id]);
    assert_eq!((status(secrets.trim()), status(&new)), (401, 401));
    assert_eq!(rotate(id, json!({})).status, 409, "a revoked key stays revoked");
    let audit = shop.get(&shop.admin, "audit?action=key.rotate");
    assert!(audit["lines"].as_array().unwrap().len() >= 3, "{audit}");
}

#[test]
fn keys_are_made_with_their_terms_on_the_command_line() {
    let shop = Shop::open("", SECRETS);
    let secret = shop.house.ok(&[
        "--app",
        "corner",
        "keys",
        "create",
        "--role",
        "judge",
        "--grant",
        "crowd:secret=judge",
        "--expires",
        "90d",
        "--requests-per-second",
        "1",
        "--burst",
        "2",
    ]);
    let secret = secret.trim();
    let judge = get("judge?user=ann&crowd=secret");
    let first = shop.call(secret, &judge);
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy").as_deref(), Some("\"key\";q=1;w=1"));
    assert_eq!(first.header("ratelimit").as_deref(), Some("\"key\";r=1;t=1"));
    let refused = eventually("too many", || {
        let answer = shop.call(secret, &judge);
        (answer.status == 429).then_some(answer)
    });
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
    assert!(
        refused.json()["detail"].as_str().unwrap().contains("1 requests a second and 2 at once")
    );
    let listed = shop.house.ok(&["keys"]);
    assert!(listed.contains("crowd:secret=judge") && listed.contains("works until "), "{listed}");
    for (grant, words) in [("crowd:secret", "gives no rights"), ("people:a=view", "has no grants")]
    {
        let said = shop
            .house
            .refused(&["--app", "corner", "keys", "create", "--role", "judge", "--grant", grant]);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_server_limits_the_keys_that_say_nothing_of_it() {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let server = house.serve_with(&["--requests-per-second", "2", "--request-burst", "3"]);
    let admin = server.admin_key.clone().unwrap();
    let refused = eventually("too many", || {
        let answer = server.get("/api/v1/apps", &admin);
        assert_eq!(answer.header("ratelimit-policy").is_some(), answer.status == 200);
        (answer.status == 429).then_some(answer)
    });
    assert!(
        refused.json()["detail"].as_str().unwrap().contains("2 requests a second and 3 at once")
    );
    // The folder's own key, of commands on the machine, is not limited.
    (0..10).for_each(|_| drop(house.ok(&["keys"])));
}

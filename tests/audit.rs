//! The audit trail: what everybody did leaves its line, what failed too, and admins read it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server, eventually, shop_definitions};
use serde_json::{Value, json};

const ORDERS: &str = "id,user,event,time,sku,amount\n1,ann,purchase,2026-06-20T10:00:00,s1,60.10\n2,bob,purchase,2026-06-21T10:00:00,s2,12.50\n";

fn shop() -> House {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    house
}

/// The trail, oldest first: actor, action, subject, outcome.
fn lines(house: &House, more: &[&str]) -> Vec<[String; 4]> {
    let arguments: Vec<&str> = ["audit", "--limit", "1000"].iter().chain(more).copied().collect();
    let trail = house.json(&arguments);
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let lines = trail["lines"].as_array().unwrap().iter().rev();
    lines
        .map(|line| ["actor", "action", "subject", "outcome"].map(|name| text(line, name)))
        .collect()
}

/// The outcomes of an action's lines whose subject has `word`, oldest first.
fn outcomes(house: &House, action: &str, word: &str) -> Vec<String> {
    let of = lines(house, &["--action", action]);
    of.into_iter()
        .filter(|[_, _, subject, _]| subject.contains(word))
        .map(|[.., outcome]| outcome)
        .collect()
}

/// Waits for lines that are written beside the answer.
fn check(house: &House, action: &str, word: &str, expected: &[&str]) {
    let matches = |found: &[String]| {
        found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected))
    };
    let mut last = Vec::new();
    for _ in 0..200 {
        last = outcomes(house, action, word);
        if matches(&last) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{action} {word}: {last:?}, not {expected:?} in {:#?}", lines(house, &[]));
}

#[test]
fn every_command_leaves_its_lines_and_so_does_what_fails() {
    let house = shop();
    check(&house, "definitions.apply", "create tag purchases", &["done"]);
    let bad = house.file("bad.yaml", "kind: crowd\nname: c\nexpression: 'no_such_tag >= 1'\n");
    house.refused(&["apply", "-f", bad.to_str().unwrap()]);
    check(&house, "definitions.apply", "bad.yaml", &["failed: the definitions are refused"]);

    let orders = house.file("orders-1.csv", ORDERS);
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    check(&house, "ingest", "orders-1.csv", &["begun", "done: run "]);
    house.file("orders-1.csv", "id,user,event,time,sku,amount\n");
    house.refused(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    check(&house, "ingest", "orders-1.csv", &["begun", "done: run ", "begun", "failed: run "]);

    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
    check(&house, "produce", "all tags as of 2026-07-01T00:00:00+02:00", &["begun", "done: run "]);
    house.ok(&["export", "others"]);
    check(&house, "export", "crowd others (format=csv)", &["begun", "done: "]);
    house.refused(&["export", "nobody"]);
    check(&house, "export", "crowd nobody", &["begun", "failed: 404"]);

    house.ok(&["change", "ann", "city", "Bonn"]);
    check(&house, "change", "1 changes in 1 calls, of city", &["done"]);
    house.refused(&["change", "ann", "purchases", "many"]);
    check(&house, "change", "0 changes in 1 calls", &["failed: "]);

    house.ok(&["delete", "bob"]);
    // sha256("bob"), of which the first half names him to whoever knows him, and the id is not in
    // the trail.
    check(&house, "delete", "1 users, sha256 81b637d8fcd2c6da", &["begun", "done"]);
    assert!(lines(&house, &[]).iter().flatten().all(|text| !text.contains("bob")));
    house.ok(&["compact", "--expire", "purchases >= 100"]);
    check(&house, "compact", "purchases >= 100", &["begun", "done: run "]);
    house.refused(&["compact", "--expire", "no_such_tag == 1"]);
    check(&house, "compact", "no_such_tag", &["begun", "failed: run "]);

    house.ok(&["keys", "create", "--role", "viewer"]);
    let key = house.json(&["keys"])["keys"][0]["id"].as_str().unwrap().to_owned();
    house.ok(&["keys", "revoke", &key]);
    check(&house, "key", &key, &["done", "done"]);
    house.ok(&["keys", "create", "--role", "judge", "--all-apps"]);
    assert_eq!(lines(&house, &["--all-apps"]).len(), 1, "what concerns every app stands apart");
    assert!(lines(&house, &[]).iter().all(|[actor, ..]| actor == "local"));
}

#[test]
fn the_trail_is_read_page_by_page_by_admins_only() {
    let house = shop();
    let server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let of = |role: &str, app: Option<&str>| {
        server.post("/api/v1/keys", &admin, &json!({"role": role, "app": app})).json()["secret"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (own, viewer) = (of("admin", Some("corner")), of("viewer", Some("corner")));
    let path = "/api/v1/apps/corner/audit";
    for (key, of_app, of_house) in [(&admin, 200, 200), (&own, 200, 403), (&viewer, 403, 403)] {
        assert_eq!(
            (server.get(path, key).status, server.get("/api/v1/audit", key).status),
            (of_app, of_house)
        );
    }
    assert_eq!(server.get("/api/v1/apps/nowhere/audit", &admin).status, 404);
    for (query, word) in
        [("limit=0", "1 to 1000"), ("from=yesterday", "is not a time"), ("colour=red", "colour")]
    {
        let answer = server.get(&format!("{path}?{query}"), &own);
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(word), "{}", answer.json());
    }

    let upload = server.post("/api/v1/apps/corner/uploads", &own, &json!({})).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let files = format!("/api/v1/apps/corner/uploads/{upload}/files?name=orders-1.csv");
    for status in [204, 409] {
        assert_eq!(
            server.call("PUT", &files, Some(&format!("Bearer {own}")), ORDERS.as_bytes()).status,
            status
        );
    }
    let page = |query: &str| server.get(&format!("{path}?{query}"), &own).json();
    let uploads = page("action=upload");
    let texts: Vec<(String, String)> = uploads["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (
                line["subject"].as_str().unwrap().to_owned(),
                line["outcome"].as_str().unwrap()[..4].to_owned(),
            )
        })
        .collect();
    let file = format!("file orders-1.csv of upload {upload}");
    assert_eq!(
        texts,
        [
            (file.clone(), "fail".to_owned()),
            (file, "done".to_owned()),
            (format!("upload {upload} begun"), "done".to_owned())
        ]
    );
    let first = page("action=upload&limit=2");
    let second = page(&format!("action=upload&limit=2&before={}", first["next"]));
    assert_eq!(
        (first["lines"].as_array().unwrap().len(), second["lines"].as_array().unwrap().len()),
        (2, 1)
    );
    assert_eq!(
        (second["next"].clone(), second["lines"][0].clone()),
        (Value::Null, uploads["lines"][2].clone())
    );
    assert_eq!(page("actor=nobody")["lines"], json!([]));
    assert_eq!(page("to=2000-01-01T00:00")["lines"], json!([]));
    assert_eq!(
        page("from=2000-01-01T00:00")["lines"].as_array().unwrap().len(),
        page("")["lines"].as_array().unwrap().len()
    );
}

fn change(server: &Server, key: &str, user: usize) {
    let changes = json!({"create": true, "changes": [{"user": format!("u{user}"), "tag": "city", "set": "Bonn"}]});
    assert_eq!(server.post("/api/v1/apps/corner/changes", key, &changes).status, 200);
}

#[test]
fn many_changes_are_one_line_and_a_server_that_ends_writes_it() {
    let house = shop();
    let mut server = house.serve();
    let key = server.admin_key.clone().unwrap();
    (0..50).for_each(|user| change(&server, &key, user));
    server.terminate();
    check(&house, "change", "50 changes in 50 calls, of city", &["done"]);
    assert_eq!(outcomes(&house, "change", "").len(), 1);
}

#[test]
fn refused_calls_leave_a_line_for_each_key_and_unknown_callers_none() {
    let house = shop();
    let mut server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let make = |role: &str| {
        let made =
            server.post("/api/v1/keys", &admin, &json!({"role": role, "app": "corner"})).json();
        (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    };
    let ((viewer, viewing), (gone, revoked)) = (make("viewer"), make("judge"));
    assert_eq!(
        server
            .call("DELETE", &format!("/api/v1/keys/{gone}"), Some(&format!("Bearer {admin}")), b"")
            .status,
        204
    );
    for _ in 0..30 {
        assert_eq!(server.post("/api/v1/apps/corner/produce", &viewing, &json!({})).status, 403);
        assert_eq!(
            server
                .call(
                    "DELETE",
                    "/api/v1/apps/corner/users/ann",
                    Some(&format!("Bearer {viewing}")),
                    b""
                )
                .status,
            403
        );
        assert_eq!(
            server.get("/api/v1/apps/corner/judge?user=ann&crowd=others", &revoked).status,
            401
        );
        assert_eq!(
            server.get("/api/v1/apps/corner/judge?user=ann&crowd=others", "tgh_nobody").status,
            401
        );
    }
    assert_eq!(server.get("/api/v1/apps/corner/definitions", &viewing).status, 200);
    server.terminate();
    let refused: Vec<[String; 4]> = lines(&house, &["--action", "refused"]);
    let expected = [
        (
            &viewer,
            "60 calls, of DELETE /api/v1/apps/corner/users/{user}, POST /api/v1/apps/corner/produce",
            "refused: the key may not do this",
        ),
        (&gone, "30 calls, of GET /api/v1/apps/corner/judge", "refused: the key was revoked"),
    ];
    assert_eq!(refused.len(), expected.len(), "{refused:?}");
    for (key, subject, outcome) in expected {
        let line = [key.as_str(), "refused", subject, outcome].map(str::to_owned);
        assert!(refused.contains(&line), "{line:?} is not in {refused:?}");
    }
}

#[test]
fn what_a_killed_server_left_open_gets_its_end_at_the_next_start() {
    let house = shop();
    let orders = house.file("orders-1.csv", ORDERS);
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    let crossed: String = (1..30).map(|n| format!(" CROSS JOIN events e{n}")).collect();
    let query = format!(
        "SELECT e0.user_id, count(*) AS value FROM events e0{crossed} WHERE e1.amount + e9.amount > e0.amount GROUP BY e0.user_id"
    );
    let endless = house
        .file("endless.yaml", format!("kind: tag\nname: endless\ntype: int\nsql: \"{query}\"\n"));
    house.ok(&["apply", "-f", endless.to_str().unwrap()]);
    let server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let run = server.post(
        "/api/v1/apps/corner/produce",
        &key,
        &json!({"as_of": "2026-07-01T00:00", "tags": ["endless"]}),
    );
    assert_eq!(run.status, 202, "{}", run.json());
    // Dropped, a server is killed.
    drop(server);
    check(&house, "produce", "endless", &["begun", "interrupted: "]);
    check(&house, "ingest", "orders-1.csv", &["begun", "done: run "]);
    check(&house, "produce", "endless", &["begun", "interrupted: "]);
}

#[test]
fn old_lines_go() {
    let house = shop();
    // Uploads of a second's age are looked for four times a second, and the trail with them.
    let server = house.serve_with(&["--audit-lines", "3", "--upload-hours", "0.0003"]);
    let key = server.admin_key.clone().unwrap();
    for _ in 0..10 {
        assert_eq!(server.post("/api/v1/apps/corner/uploads", &key, &json!({})).status, 201);
    }
    eventually("pruning", || (lines(&house, &[]).len() <= 3).then_some(()));
    eventually("sweeping", || {
        let of_app = house.data().join("uploads/corner");
        std::fs::read_dir(of_app).unwrap().next().is_none().then_some(())
    });
}

#[test]
fn who_asked_about_single_users_is_summed_up_and_nobody_is_named() {
    let house = shop();
    let orders = house.file("orders-1.csv", ORDERS);
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
    let mut server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let get = |place: &str| server.get(&format!("/api/v1/apps/corner/{place}"), &admin);
    let post = |place: &str, body: &Value| {
        server.post(&format!("/api/v1/apps/corner/{place}"), &admin, body)
    };
    for user in ["ann", "bob", "nobody"] {
        assert_eq!(get(&format!("judge?user={user}&crowd=others")).status, 200);
    }
    let batch = json!({"users": ["ann", "bob"], "crowds": ["high_spenders"], "expressions": {"a": "purchases >= 1"}});
    assert_eq!(post("judge", &batch).status, 200);
    assert_eq!(get("judge?user=ann&crowd=none").status, 404);
    assert_eq!(get("profile?user=ann&tags=purchases").status, 200);
    assert_eq!(post("list", &json!({"expression": "purchases >= 1"})).status, 200);
    assert_eq!(post("count", &json!({"expression": "purchases >= 1"})).status, 200);
    assert_eq!(get("users/ann/crowds").status, 200);
    server.terminate();
    // A minute may end in between: then there are two lines.
    let mut sums = std::collections::BTreeMap::new();
    for [_, action, subject, _] in lines(&house, &[]) {
        if !["judge", "profile", "list", "count", "user_crowds"].contains(&action.as_str()) {
            continue;
        }
        assert!(!subject.contains("ann") && !subject.contains("bob"), "{subject}");
        let words: Vec<&str> = subject.split(' ').collect();
        let sum: &mut [u64; 2] = sums.entry(action).or_default();
        sum[0] += words[0].parse::<u64>().unwrap();
        sum[1] += words[3].parse::<u64>().unwrap();
    }
    let expected =
        [("judge", [5, 4]), ("list", [2, 1]), ("profile", [1, 1]), ("user_crowds", [1, 1])];
    assert_eq!(sums, expected.map(|(action, sum)| (action.to_owned(), sum)).into());
    check(&house, "profile", "of purchases", &["done"]);
}

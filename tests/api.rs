//! The HTTP API as its callers see it: keys and roles, problems, the OpenAPI description, live
//! events that survive kill −9.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;

use driver::{House, Server, eventually, shop_definitions};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Command;

fn shop() -> House {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    house
}

fn key(house: &House, role: &str) -> String {
    house.ok(&["keys", "create", "--role", role, "--app", "corner"]).trim().to_owned()
}

fn basic(key: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{key}:")))
}

fn purchases(house: &House) -> Option<u64> {
    house.ok(&["produce", "--as-of", "2030-01-01T00:00"]);
    let tags = house.json(&["tags"]);
    let tag = tags["tags"].as_array()?.iter().find(|tag| tag["name"] == "purchases")?.clone();
    tag["sum"].as_str()?.parse().ok()
}

fn track(server: &Server, key: &str, message: &str, user: &str) -> u16 {
    let call = json!({"userId": user, "event": "purchase", "messageId": message, "timestamp": "2026-06-20T10:00:00.000Z",
        "properties": {"sku": "s1", "amount": 12.5, "colour": "red"}});
    server.call("POST", "/v1/track", Some(&basic(key)), call.to_string().as_bytes()).status
}

#[test]
fn keys_are_made_for_apps_that_exist_and_revoked_by_their_own_admins() {
    let house = shop();
    house.ok(&[
        "apply",
        "-f",
        house.file("other.yaml", "kind: app\nid: other\ntime_zone: UTC\n").to_str().unwrap(),
    ]);
    let server = house.serve();
    let answer = server.call("GET", "/api/v1/apps/corner/tags", None, b"");
    assert_eq!((answer.status, answer.content_type.as_str()), (401, "application/problem+json"));
    assert_eq!(server.get("/api/v1/apps/corner/tags", "tgh_wrong").status, 401);

    let admin = server.admin_key.clone().unwrap();
    let answer = server.post("/api/v1/keys", &admin, &json!({"role": "write", "app": "nowhere"}));
    assert_eq!(answer.status, 404, "{}", answer.json());
    assert!(
        answer.json()["detail"].as_str().unwrap().contains("apply"),
        "the fix is named: {}",
        answer.json()
    );

    let viewer = key(&house, "viewer");
    let keys = house.json(&["keys"]);
    let last = keys["keys"].as_array().unwrap().last().unwrap().clone();
    assert!(last.get("secret").is_none(), "a secret is shown once only");
    let place = format!("/api/v1/keys/{}", last["id"].as_str().unwrap());
    let admin_of_other = house.ok(&["keys", "create", "--role", "admin", "--app", "other"]);
    let bearer = |key: &str| format!("Bearer {}", key.trim());
    assert_eq!(server.call("DELETE", &place, Some(&bearer(&admin_of_other)), b"").status, 403);
    assert_eq!(server.call("DELETE", &place, Some(&bearer(&viewer)), b"").status, 403);
    assert_eq!(server.get("/api/v1/apps/corner/tags", &viewer).status, 200);
    assert_eq!(
        server.call("DELETE", &place, Some(&bearer(&key(&house, "admin"))), b"").status,
        204
    );
    assert_eq!(server.get("/api/v1/apps/corner/tags", &viewer).status, 401);
    assert_eq!(server.call("DELETE", "/api/v1/keys/none", Some(&bearer(&admin)), b"").status, 404);
}

#[test]
fn of_several_applied_at_once_no_two_rest_on_the_same_state() {
    let house = shop();
    let server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let path = "/api/v1/apps/corner/definitions";
    let answers: Vec<(u16, usize)> = std::thread::scope(|scope| {
        let apply = |n: usize| {
            let text =
                format!("{{kind: tag, name: t{n}, type: int, aggregate: {{function: count}}}}");
            let body = json!({"files": [{"path": "t.yaml", "text": text}]});
            (server.post(path, &admin, &body).status, n)
        };
        let calls: Vec<_> = (0..8).map(|n| scope.spawn(move || apply(n))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(
        answers.iter().any(|(status, _)| *status == 200)
            && answers.iter().all(|(status, _)| [200, 409].contains(status)),
        "{answers:?}"
    );
    let stored = server.get(path, &admin).json();
    for (status, n) in answers {
        let there = stored["definitions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|stored| stored["name"] == format!("t{n}").as_str());
        assert_eq!(there, status == 200, "t{n}");
    }
}

#[test]
fn crowds_and_tags_that_are_no_longer_defined_do_not_answer() {
    let house = shop();
    let orders = house.file(
        "orders-1.csv",
        "id,user,event,time,sku,amount\n1,ann,purchase,2026-06-20T10:00:00,s1,60.10\n",
    );
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
    let server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let calls = [
        ("GET", "judge?user=ann&crowd=others", Value::Null),
        ("POST", "judge", json!({"users": ["ann"], "crowds": ["high_spenders", "others"]})),
        ("GET", "crowds/others", Value::Null),
        ("GET", "crowds/others/export", Value::Null),
        ("GET", "crowds/others/versions", Value::Null),
        ("GET", "tags/visits", Value::Null),
    ];
    let statuses = || -> Vec<u16> {
        let call = |(method, path, body): &(&str, &str, Value)| {
            server
                .call(
                    method,
                    &format!("/api/v1/apps/corner/{path}"),
                    Some(&format!("Bearer {admin}")),
                    body.to_string().as_bytes(),
                )
                .status
        };
        calls.iter().map(call).collect()
    };
    assert_eq!(statuses(), [200; 6]);
    let text = std::fs::read_to_string(shop_definitions().join("shop.yaml")).unwrap();
    let kept: Vec<&str> = text
        .split("---\n")
        .filter(|part| !part.contains("name: others") && !part.contains("name: visits"))
        .collect();
    let fewer = house.file("fewer.yaml", kept.join("---\n"));
    house.ok(&["apply", "-f", fewer.to_str().unwrap(), "--prune"]);
    assert_eq!(statuses(), [404; 6]);
    let said = server.get("/api/v1/apps/corner/judge?user=ann&crowd=high_spender", &admin).json();
    assert!(said["detail"].as_str().unwrap().contains("high_spenders"), "{said}");
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    assert_eq!(statuses(), [200; 6], "defined again, they answer with what they were");
}

#[test]
fn pruning_by_files_that_name_nothing_must_be_confirmed() {
    let house = shop();
    let definitions = || house.json(&["tags"])["tags"].as_array().unwrap().len();
    let before = definitions();
    assert!(before > 0);
    let server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let apply = |body: Value| server.post("/api/v1/apps/corner/definitions", &admin, &body);
    let app_alone = "kind: app\nid: corner\ntime_zone: Europe/Berlin\n";
    for files in [
        json!([]),
        json!([{"path": "empty.yaml", "text": "# nothing\n"}]),
        json!([{"path": "app.yaml", "text": app_alone}]),
    ] {
        for dry_run in [true, false] {
            let refused = apply(json!({"files": files, "prune": true, "dry_run": dry_run}));
            let said = refused.json()["detail"].as_str().unwrap().to_owned();
            assert!(
                refused.status == 400
                    && said.contains("would delete all")
                    && said.contains("--prune --all"),
                "{files}: {said}"
            );
        }
    }
    let file = house.file("empty/empty.yaml", "# nothing\n");
    let said =
        house.refused(&["--app", "corner", "apply", "-f", file.to_str().unwrap(), "--prune"]);
    assert!(said.contains("--prune --all"), "{said}");
    let said = house.refused(&["apply", "-f", file.to_str().unwrap(), "--all"]);
    assert!(said.contains("--prune"), "{said}");
    assert_eq!(definitions(), before, "nothing was changed");
    let plan = house.json(&[
        "--app",
        "corner",
        "apply",
        "-f",
        file.to_str().unwrap(),
        "--prune",
        "--all",
        "--dry-run",
    ]);
    assert!(
        plan["changes"].as_array().unwrap().iter().all(|change| change["action"] == "delete"),
        "{plan}"
    );
    house.ok(&["--app", "corner", "apply", "-f", file.to_str().unwrap(), "--prune", "--all"]);
    assert_eq!(definitions(), 0);
    // There is nothing left to confirm.
    assert_eq!(apply(json!({"files": [], "prune": true})).status, 200);
}

#[test]
fn one_production_of_an_app_at_a_time() {
    let house = shop();
    let mut rows = String::from("id,user,event,time,sku,amount\n");
    for n in 0..60_000 {
        rows.push_str(&format!("{n},u{n},purchase,2026-06-20T10:00:00,s{n},60.10\n"));
    }
    let orders = house.file("orders-1.csv", rows);
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    let server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let produce = || {
        server.post("/api/v1/apps/corner/produce", &admin, &json!({"as_of": "2026-07-01T00:00"}))
    };
    let first = produce();
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let second = produce();
    assert_eq!((first.status, second.status), (202, 409));
    assert!(second.json()["detail"].as_str().unwrap().contains(&id), "{}", second.json());
    let state = |id: &str| server.run_ended(id, &admin)["state"].clone();
    assert_eq!(state(&id), "succeeded");
    // A production and a compaction wait for each other instead of refusing.
    let third = produce();
    let compaction = server.post("/api/v1/apps/corner/compact", &admin, &json!({}));
    assert_eq!((third.status, compaction.status), (202, 202), "{}", compaction.json());
    for run in [third, compaction] {
        assert_eq!(state(run.json()["id"].as_str().unwrap()), "succeeded");
    }
}

#[test]
fn uploads_take_each_name_once_and_go_whatever_comes_of_them() {
    let house = shop();
    let server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let bearer = format!("Bearer {admin}");
    let begin = || {
        server.post("/api/v1/apps/corner/uploads", &admin, &json!({})).json()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let put = |id: &str, query: &str, body: &str| {
        server
            .call(
                "PUT",
                &format!("/api/v1/apps/corner/uploads/{id}/files?{query}"),
                Some(&bearer),
                body.as_bytes(),
            )
            .status
    };
    let ingest = |id: &str| {
        let run = server.post(
            "/api/v1/apps/corner/ingest",
            &admin,
            &json!({"source": "orders", "upload": id}),
        );
        let id = run.json()["id"].as_str().unwrap_or_else(|| panic!("{}", run.json())).to_owned();
        server.run_ended(&id, &admin)
    };
    let left = || walk(&house.data().join("uploads"));
    let row = |n: u32| {
        format!("id,user,event,time,sku,amount\n{n},ann,purchase,2026-06-20T10:00:00,s1,60.10\n")
    };

    let id = begin();
    assert_eq!(put(&id, "name=../x.csv", &row(1)), 400);
    assert_eq!(put(&id, "name=mine.txt", &row(1)), 204);
    assert_eq!(put(&id, "name=mine.txt", &row(2)), 409);
    assert_eq!(put(&id, "name=mine.txt&picked=true", &row(2)), 409);
    assert_eq!(put(&id, "name=orders-3.csv&picked=true", &row(3)), 204);
    assert_eq!(put(&id, "name=notes.txt&picked=true", "not orders"), 204);
    let run = ingest(&id);
    assert_eq!(
        (run["state"].clone(), run["tasks"][0]["result"]["files_new"].clone()),
        (json!("succeeded"), json!(2)),
        "{run}"
    );
    assert_eq!(left(), Vec::<std::path::PathBuf>::new());
    assert_eq!(
        server
            .post("/api/v1/apps/corner/ingest", &admin, &json!({"source": "orders", "upload": id}))
            .status,
        404
    );

    let id = begin();
    assert_eq!(put(&id, "name=orders-3.csv", &row(4)), 204);
    let run = ingest(&id);
    assert_eq!(run["state"], "failed", "a refused file fails the run: {run}");
    assert_eq!(
        run["tasks"][0]["result"]["failed"][0]["file"], "orders-3.csv",
        "and is in the report: {run}"
    );
    assert_eq!(left(), Vec::<std::path::PathBuf>::new());
    assert!(house.ok(&["runs"]).contains("failed"));

    let empty = ingest(&begin());
    assert!(empty["tasks"][0]["error"].as_str().unwrap().contains("orders*.csv"), "{empty}");

    let id = begin();
    let path = format!("/api/v1/apps/corner/uploads/{id}/files?name=big.csv");
    assert_eq!(server.status_of_head("PUT", &path, &bearer, (8 << 30) + 1), 413);
    assert_eq!(put(&id, "name=stale.csv", &row(5)), 204);
    drop(server);
    house.ok(&["runs"]);
    assert_eq!(left(), Vec::<std::path::PathBuf>::new(), "swept at the next start");
}

/// The files under a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn what_becomes_of_live_calls_is_told() {
    let house = shop();
    let writer = key(&house, "write");
    let server = house.serve();
    let admin = key(&house, "admin");
    for message in ["m1", "m2", "m1"] {
        assert_eq!(track(&server, &writer, message, "ann"), 200);
    }
    let landing = eventually("landing", || {
        let landing = server.get("/api/v1/apps/corner/landing", &admin).json();
        (landing["events"] == 2 && landing["duplicates"] == 1).then_some(landing)
    });
    assert_eq!(
        (landing["rejected"].clone(), landing["last_error"].clone()),
        (json!(0), Value::Null)
    );
    assert!(landing["position"].as_u64().unwrap() >= 3);
    assert_eq!(server.call("GET", "/api/v1/health", None, b"").status, 200);

    // A file where the table's metadata files go, and nothing can land: the call is acknowledged
    // all the same, and health says why.
    let events = house.data().join("lake/corner/events/metadata");
    std::fs::rename(&events, events.with_extension("away")).unwrap();
    std::fs::write(&events, "in the way").unwrap();
    assert_eq!(track(&server, &writer, "m3", "ann"), 200);
    let unwell = eventually("an unwell server", || {
        let health = server.get("/api/v1/health", &admin);
        (health.status == 503).then(|| health.json())
    });
    assert!(unwell["detail"].as_str().unwrap().contains("corner"), "{unwell}");
    std::fs::remove_file(&events).unwrap();
    std::fs::rename(events.with_extension("away"), &events).unwrap();
    eventually("a server that is well again", || {
        (server.call("GET", "/api/v1/health", None, b"").status == 200).then_some(())
    });
}

#[test]
fn an_acknowledged_event_survives_kill_9_and_counts_once() {
    let house = shop();
    let writer = key(&house, "write");
    let mut server = house.serve();
    for message in ["m1", "m2", "m1"] {
        assert_eq!(track(&server, &writer, message, "ann"), 200);
    }
    server.kill();
    let server = house.serve();
    assert_eq!(
        track(&server, &writer, "m2", "ann"),
        200,
        "the library tries again with the same message id"
    );
    assert_eq!(track(&server, &writer, "m3", "bob"), 200);
    eventually("three landed purchases", || (purchases(&house) == Some(3)).then_some(()));
    drop(server);
    assert_eq!(house.count("purchases == 2"), 1);
    assert_eq!(house.count("purchases == 1"), 1);
}

#[test]
fn every_call_of_the_tracking_api_is_taken_and_wrong_ones_are_told_why() {
    let house = shop();
    let writer = key(&house, "write");
    let server = house.serve();
    let authorization = basic(&writer);
    let at = "2026-06-20T10:00:00Z";
    let calls = [
        ("identify", json!({"userId": "ann", "traits": {"city": "Bonn"}, "timestamp": at})),
        (
            "identify",
            json!({"userId": "ann", "traits": {"city": "Köln"}, "timestamp": "2026-06-21T10:00:00Z"}),
        ),
        ("page", json!({"anonymousId": "anon-1", "name": "Home", "timestamp": at})),
        ("screen", json!({"userId": "ann", "name": "Cart", "timestamp": at})),
        (
            "group",
            json!({"userId": "ann", "groupId": "g1", "traits": {"size": 3}, "timestamp": at}),
        ),
        ("alias", json!({"userId": "ann", "previousId": "anon-1", "timestamp": at})),
        (
            "batch",
            json!({"batch": [{"type": "track", "userId": "bob", "event": "purchase", "anonymousId": null, "timestamp": at,
            "properties": {"sku": "s2", "amount": 3}}], "sentAt": at}),
        ),
    ];
    for (kind, body) in &calls {
        let answer = server.call(
            "POST",
            &format!("/v1/{kind}"),
            Some(&authorization),
            body.to_string().as_bytes(),
        );
        assert_eq!((answer.status, answer.json()), (200, json!({"success": true})), "{kind}");
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(calls[6].1.to_string().as_bytes()).unwrap();
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(
        server
            .call_with("POST", "/v1/batch", Some(&authorization), &headers, &gzip.finish().unwrap())
            .status,
        200
    );

    let wrong: [(&str, &[u8], &str); 4] = [
        ("track", b"{\"event\": \"x\"}", "userId"),
        ("track", b"{\"userId\": \"a\"}", "event"),
        ("track", b"not json", "JSON"),
        ("batch", b"{\"batch\": [{\"userId\": \"a\", \"type\": \"shout\"}]}", "shout"),
    ];
    for (kind, body, word) in wrong {
        let answer = server.call("POST", &format!("/v1/{kind}"), Some(&authorization), body);
        assert_eq!(answer.status, 400, "{kind}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(word), "{}", answer.json());
    }
    assert_eq!(server.call("POST", "/v1/shout", Some(&authorization), b"{}").status, 404);
    assert_eq!(server.status_of_head("POST", "/v1/track", &authorization, 3 << 20), 413);

    eventually("landing", || (purchases(&house) == Some(2)).then_some(()));
    assert_eq!(house.json(&["profile", "ann"])["tags"]["city"], "Köln");
    assert_eq!(house.count("city is set || purchases >= 1"), 2);
    // The visitor is ann, as `alias` says.
    assert_eq!(house.json(&["tags"])["users"], 2, "ann and bob");
}

#[test]
fn a_wrong_message_is_named_in_the_answer_to_its_batch() {
    let house = shop();
    let authorization = basic(&key(&house, "write"));
    let server = house.serve();
    let at = "2026-06-20T10:00:00Z";
    // Of a batch, a message that is wrong or too large is named in the answer, and the others are
    // taken.
    let large = "x".repeat(33 << 10);
    let message = |id: &str, amount: Value| {
        let properties = json!({"amount": amount});
        json!({"type": "track", "userId": "bob", "event": "view", "timestamp": at, "messageId": id, "properties": properties})
    };
    let batch = json!({"batch": [message("b1", json!(1)), message("b2", json!(large)), message("b3", json!(0.1 + 0.2))]});
    let answer =
        server.call("POST", "/v1/batch", Some(&authorization), batch.to_string().as_bytes());
    let named = answer.json()["rejected"][0].clone();
    assert_eq!(
        (answer.status, answer.json()["rejected_total"].clone()),
        (200, json!(1)),
        "{}",
        answer.json()
    );
    assert_eq!(
        (&named["index"], &named["message_id"], &named["reason"]),
        (&json!(1), &json!("b2"), &json!("value_too_long")),
        "{named}"
    );
    assert!(named["detail"].as_str().unwrap().contains("32768"), "{named}");
}

#[test]
fn the_description_names_every_route_and_the_routes_answer_as_described() {
    let house = shop();
    let orders = house.file(
        "orders-1.csv",
        "id,user,event,time,sku,amount\n1,ann,purchase,2026-06-20T10:00:00,s1,60.10\n",
    );
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
    let server = house.serve();
    let description = server.call("GET", "/api/v1/openapi.json", None, b"").json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1."));
    let paths: Vec<&str> =
        description["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for path in [
        "definitions",
        "count",
        "sample",
        "count/estimate",
        "count/stream",
        "list",
        "top",
        "group",
        "histogram",
        "overlap",
        "compare",
        "crowds",
        "crowds/{crowd}/versions",
        "judge",
        "profile",
        "tags",
        "runs/{id}",
        "ingest",
        "landing",
        "produce",
    ] {
        assert!(
            paths.contains(&format!("/api/v1/apps/{{app}}/{path}").as_str()),
            "{path} is missing in {paths:?}"
        );
    }
    assert!(paths.contains(&"/v1/{kind}"));
    let admin = server.admin_key.clone().unwrap_or_else(|| key(&house, "admin"));
    let batch = server.post(
        "/api/v1/apps/corner/judge",
        &admin,
        &json!({"users": ["ann", "nobody"], "crowds": ["others", "high_spenders"]}),
    );
    assert_eq!(
        batch.json()["judgments"],
        json!([
            {"user": "ann", "crowds": {"high_spenders": false, "others": true}},
            {"user": "nobody", "crowds": {"high_spenders": false, "others": false}}
        ])
    );
    let sample = server.post(
        "/api/v1/apps/corner/sample",
        &admin,
        &json!({"expression": {"is_set": {"name": "purchases"}}, "size": 5}),
    );
    assert_eq!(sample.json(), json!({"users": ["ann"], "count": 1}));
    let wrong =
        server.post("/api/v1/apps/corner/count", &admin, &json!({"expression": "purchases >="}));
    assert_eq!((wrong.status, wrong.json()["type"].clone()), (400, json!("invalid")));
    assert_eq!(server.get("/api/v1/nowhere", &admin).status, 404);
}

/// Five users: four bought, s1 or s2; eve only looked.
fn five() -> House {
    let house = shop();
    let rows = [
        "1,ann,purchase,2026-06-20T10:00:00,s1,60.10",
        "2,ann,purchase,2026-06-21T10:00:00,s1,50.00",
        "3,bob,purchase,2026-06-20T10:00:00,s2,20.00",
        "4,cid,purchase,2026-06-20T10:00:00,s1,10.00",
        "5,dee,purchase,2026-06-20T10:00:00,s2,100.00",
        "6,eve,visit,2026-06-20T10:00:00,,",
    ];
    let orders =
        house.file("orders-1.csv", format!("id,user,event,time,sku,amount\n{}\n", rows.join("\n")));
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
    house
}

#[test]
fn questions_beyond_count_are_answered() {
    let house = five();
    let server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let ask = |path: &str, body: Value| {
        let answer = server.post(&format!("/api/v1/apps/corner/{path}"), &admin, &body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.json());
        answer.json()
    };
    let first = ask("list", json!({"expression": "favourite is set", "limit": 3}));
    assert_eq!(
        (first["users"].clone(), first["count"].clone()),
        (json!(["ann", "bob", "cid"]), json!(4))
    );
    let last =
        ask("list", json!({"expression": "favourite is set", "limit": 3, "after": first["next"]}));
    assert_eq!((last["users"].clone(), last["next"].clone()), (json!(["dee"]), Value::Null));

    let top = ask("top", json!({"tag": "favourite", "expression": "band == \"low\""}));
    let s1_and_s2 = json!([{"value": "s1", "users": 1, "share": 0.5}, {"value": "s2", "users": 1, "share": 0.5}]);
    assert_eq!((top["values"].clone(), top["users"].clone()), (s1_and_s2, json!(2)));
    let top = ask("top", json!({"tag": "spend_30d", "limit": 1}));
    assert_eq!(
        (top["values"][0]["value"].clone(), top["distinct"].clone(), top["with_value"].clone()),
        (json!("10.00"), json!(4), json!(4))
    );

    let group = ask(
        "group",
        json!({"rows": {"tag": "favourite", "limit": 1}, "columns": {"tag": "spend_30d", "limit": 2}}),
    );
    let kinds = |list: &str| -> Vec<Value> {
        group[list].as_array().unwrap().iter().map(|heading| heading["group"].clone()).collect()
    };
    assert_eq!(
        kinds("rows"),
        [
            json!({"kind": "value", "value": "s1"}),
            json!({"kind": "others"}),
            json!({"kind": "none"})
        ]
    );
    assert_eq!(
        kinds("columns")[..2],
        [
            json!({"kind": "range", "from": "10.00", "to": "20.00"}),
            json!({"kind": "range", "from": "20.01", "to": "110.10"})
        ]
    );
    assert_eq!(group["counts"], json!([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]]));

    let histogram = ask(
        "histogram",
        json!({"tag": "spend_30d", "edges": [20, "100.00"], "quantiles": [0.5, 1]}),
    );
    assert_eq!(histogram["bins"], json!([{"from": "20.00", "to": "100.00", "users": 2}]));
    let facts = ["count", "sum", "average", "min", "max", "below", "above"]
        .map(|name| histogram[name].clone());
    assert_eq!(json!(facts), json!([4, "240.10", "60.025000", "10.00", "110.10", 1, 1]));
    assert_eq!(
        histogram["quantiles"],
        json!([{"quantile": 0.5, "value": "20.00"}, {"quantile": 1.0, "value": "110.10"}])
    );

    let overlap = ask(
        "overlap",
        json!({"rows": ["crowd(\"high_spenders\")", "favourite == \"s1\"", {"is_set": {"name": "band"}}], "jaccard": true}),
    );
    assert_eq!(overlap["counts"], json!([[2, 1, 2], [1, 2, 2], [2, 2, 4]]));
    assert_eq!(overlap["jaccard"][0][1], json!(1.0 / 3.0));
    assert_eq!(overlap["rows"][2], json!({"expression": "band is set", "users": 4}));

    // 2 of 2 by 2 of 5.
    let compared = ask(
        "compare",
        json!({"expression": "crowd(\"high_spenders\")", "tags": ["band", "favourite"], "order": "index"}),
    );
    let high = &compared["values"][0];
    assert_eq!(
        (high["group"].clone(), high["index"].clone()),
        (json!({"kind": "value", "value": "high"}), json!(250.0))
    );
    assert!(
        high["low"].as_f64().unwrap() < 250.0 && high["high"].as_f64().unwrap() >= 250.0,
        "{high}"
    );
    assert_eq!(
        ["crowd", "base", "both", "found"].map(|name| compared[name].as_u64().unwrap()),
        [2, 5, 2, 4]
    );

    let estimate = ask("count/estimate", json!({"expression": "purchases >= 2"}));
    assert!(
        estimate["at_least"].as_u64().unwrap() <= 1 && estimate["at_most"].as_u64().unwrap() >= 1,
        "{estimate}"
    );
    assert_eq!(estimate["slow"], false);
    let stream =
        server.get("/api/v1/apps/corner/count/stream?expression=purchases%20%3E%3D%202", &admin);
    assert_eq!(stream.content_type, "application/x-ndjson");
    let lines: Vec<Value> = std::str::from_utf8(&stream.body)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let exact = lines.last().unwrap();
    assert_eq!(
        (exact["exact"].clone(), exact["count"].clone(), exact["users"].clone()),
        (json!(true), json!(1), json!(5))
    );
    assert!(lines.len() == 1 || lines[0]["exact"] == false, "{lines:?}");
    let count = ask("count", json!({"expression": "purchases >= 2"}));
    assert!(
        count.as_object().unwrap().iter().all(|(name, value)| exact[name] == *value),
        "{exact} does not have {count}"
    );
}

#[test]
fn questions_that_ask_too_much_or_for_nothing_name_what_is_wrong() {
    let house = five();
    let server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let cases = [
        (
            "list",
            json!({"expression": "purchases >= 1", "limit": 10_001}),
            400,
            "10001 users in one call: the limit is 10000",
        ),
        (
            "list",
            json!({"expression": "purchases >= 1", "after": "c1-ffff-1-1"}),
            400,
            "begin again",
        ),
        ("list", json!({"expression": "purchases >="}), 400, "^"),
        ("top", json!({"tag": "favorite"}), 404, "did you mean `favourite`"),
        ("top", json!({"tag": "favourite", "limit": 10_001}), 400, "the limit is 10000"),
        ("top", json!({"tag": "favourite", "among": "x"}), 400, "among"),
        (
            "group",
            json!({"rows": {"tag": "band", "limit": 1001}, "columns": {"tag": "band"}}),
            400,
            "the limit is 1000",
        ),
        ("group", json!({"rows": {"tag": "band"}, "columns": {"tag": "bond"}}), 404, "`band`"),
        ("histogram", json!({"tag": "favourite"}), 400, "is of type enum"),
        ("histogram", json!({"tag": "purchases", "bins": 1001}), 400, "the limit is 1000"),
        ("histogram", json!({"tag": "purchases", "bins": 2, "edges": [1, 2]}), 400, "exclude"),
        (
            "histogram",
            json!({"tag": "purchases", "edges": [1, null]}),
            400,
            "null is not a valid bin edge",
        ),
        (
            "overlap",
            json!({"rows": vec!["purchases is set"; 1001]}),
            400,
            "1001 rows of an overlap in one call: the limit is 1000",
        ),
        (
            "overlap",
            json!({"rows": ["crowd(\"low_spenders\")"]}),
            400,
            "there is no crowd `low_spenders`",
        ),
        (
            "compare",
            json!({"expression": "purchases >= 1", "tags": vec!["band"; 101]}),
            400,
            "the limit is 100",
        ),
        (
            "compare",
            json!({"expression": "purchases >= 1", "tags": ["band"], "order": "beauty"}),
            400,
            "beauty",
        ),
        ("count/estimate", json!({"expression": "purchase >= 1"}), 400, "did you mean `purchases`"),
        ("count/stream", json!({"expression": "purchase >= 1"}), 400, "did you mean `purchases`"),
    ];
    for (path, body, status, word) in cases {
        let answer = server.post(&format!("/api/v1/apps/corner/{path}"), &admin, &body);
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (status, "application/problem+json"),
            "{path} {body}"
        );
        assert!(
            answer.json()["detail"].as_str().unwrap().contains(word),
            "{path}: {}",
            answer.json()
        );
    }
}

#[test]
fn questions_beyond_count_have_commands() {
    let house = five();
    let list = house.run(&["list", "favourite is set", "--limit", "3"]);
    assert_eq!(String::from_utf8_lossy(&list.stdout), "ann\nbob\ncid\n");
    let said = String::from_utf8(list.stderr).unwrap();
    let cursor = said.trim().rsplit_once("--after ").unwrap().1.to_owned();
    assert_eq!(house.ok(&["list", "favourite is set", "--after", &cursor]), "dee\n");
    assert!(house.ok(&["top", "favourite"]).starts_with(
        "favourite  users  share\ns1             2  40.0%\ns2             2  40.0%\n"
    ));
    let group = house.ok(&["group", "favourite", "band"]);
    let cells: Vec<Vec<&str>> =
        group.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        cells[1..],
        [
            vec!["s1", "1", "1", "0", "2"],
            vec!["s2", "1", "1", "0", "2"],
            vec!["(none)", "0", "0", "1", "1"],
            vec!["all", "2", "2", "1", "5"]
        ]
    );
    let histogram = house.ok(&["histogram", "spend_30d", "band == \"low\"", "--edges", "-5,15,20"]);
    assert!(
        histogram.contains("average  15.000000")
            && histogram.contains("-5.00  14.99      1  50.0%  ####"),
        "{histogram}"
    );
    let items = house.file("items.txt", "favourite == \"s1\"\n\nband is set\n");
    let overlap =
        house.ok(&["overlap", "crowd(\"high_spenders\")", "--file", items.to_str().unwrap()]);
    let cells: Vec<&str> = overlap.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(cells, ["2", "favourite", "==", "\"s1\"", "2", "1", "2", "2"], "{overlap}");
    let compare =
        house.ok(&["compare", "crowd(\"high_spenders\")", "--tag", "band", "--order", "index"]);
    assert!(compare.contains("high       2  100.0%  40.0%  250.0"), "{compare}");
    assert_eq!(
        house.json(&["compare", "band == \"low\"", "--tag", "band", "--base", "band is set"])["base"],
        4
    );
    assert_eq!(house.json(&["count", "purchases >= 2"])["count"], 1);
    assert!(house.json(&["count", "purchases >= 2"]).get("exact").is_none());
    assert!(house.refused(&["count", "purchase >= 2"]).contains("did you mean `purchases`"));
    let nothing = house.file("nothing.txt", "\n");
    assert!(
        house
            .refused(&["overlap", "--file", nothing.to_str().unwrap()])
            .contains("nothing to lay over one another")
    );
}

#[test]
fn a_segment_library_speaks_to_us_unchanged() {
    let Some(python) = needs::peers("a_segment_library_speaks_to_us_unchanged") else { return };
    let house = shop();
    let writer = key(&house, "write");
    let server = house.serve();
    let script = "
import sys, datetime
import segment.analytics as analytics
analytics.write_key, analytics.host, analytics.gzip = sys.argv[1], sys.argv[2], True
failed = []
analytics.on_error = lambda error, items: failed.append(error)
when = datetime.datetime(2026, 6, 20, 10, tzinfo=datetime.timezone.utc)
for n in range(50):
    analytics.track('u%d' % (n % 5), 'purchase', {'sku': 's1', 'amount': 12.5}, timestamp=when)
analytics.identify('u1', {'city': 'Bonn'}, timestamp=when)
analytics.flush()
sys.exit(str(failed) if failed else 0)
";
    let sent = Command::new(python).args(["-c", script, &writer, &server.base]).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    eventually("fifty purchases", || (purchases(&house) == Some(50)).then_some(()));
    assert_eq!(house.count("purchases == 10"), 5);
    assert_eq!(house.count("city == \"Bonn\""), 1);
}

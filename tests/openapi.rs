//! The OpenAPI document and what the server answers, held against each other: by other people's
//! libraries, and route by route for each role.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;
#[path = "openapi/rows.rs"]
mod rows;

use driver::{Answer, House, Server, shop_definitions};
use rows::{ROWS, Row, Sent};
use serde_json::{Value, json};
use std::cell::{Cell, OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROLES: [&str; 5] = ["admin", "editor", "viewer", "write", "judge"];

/// An operation of the document.
#[derive(Clone)]
struct Operation {
    id: String,
    method: String,
    path: String,
    keyless: bool,
    /// Whether it takes a JSON body.
    takes_json: bool,
}

/// A server with a small shop in it, and its description.
struct Shop {
    house: House,
    server: Server,
    admin: String,
    operations: Vec<Operation>,
    description: PathBuf,
    /// Every answer, for tests/openapi/answers.py.
    answers: RefCell<Vec<Value>>,
    /// Numbers what is made for one call only.
    made: Cell<u32>,
    run: OnceCell<String>,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/openapi").join(name)
}

/// Runs a program that says on its output what is wrong, and gives all that it says.
fn agrees(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}\n{said}");
    said
}

impl Shop {
    fn open() -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
        house.ok(&[
            "apply",
            "-f",
            house.file("other.yaml", "kind: app\nid: other\ntime_zone: UTC\n").to_str().unwrap(),
        ]);
        let live = "{kind: tag, name: seen_live, type: int, mode: stream, aggregate: {events: [seen], function: count}}\n---\n{kind: crowd, name: listed, import: {}}\n---\n{kind: activation, name: out, crowd: others, to: {file: {path: out.csv}}}";
        let live = house.file("live.yaml", live);
        house.ok(&["--app", "corner", "apply", "-f", live.to_str().unwrap()]);
        // Nobody listens there, and the secret is not set: what comes of a call is in its answer.
        let hook = "kind: sink\nname: hook\nwebhook: {url: \"http://127.0.0.1:9/\", secret: \"${WEBHOOK_NONE}\"}\n";
        let hook = house.file("hook.yaml", hook);
        house.ok(&["--app", "corner", "apply", "-f", hook.to_str().unwrap()]);
        let rows = [
            "1,ann,purchase,2026-06-20T10:00:00,s1,60.10",
            "2,ann,purchase,2026-06-21T10:00:00,s1,50.00",
            "3,bob,purchase,2026-06-20T10:00:00,s2,20.00",
            "4,eve,visit,2026-06-20T10:00:00,,",
        ];
        let orders = house
            .file("orders-1.csv", format!("id,user,event,time,sku,amount\n{}\n", rows.join("\n")));
        house.ok(&["--app", "corner", "ingest", "--source", "orders", orders.to_str().unwrap()]);
        house.ok(&["--app", "corner", "produce", "--as-of", "2026-07-01T00:00"]);
        let folder = house.path("activations");
        let folder = folder.to_str().unwrap();
        house.ok(&["--app", "corner", "--activation-dir", folder, "activate", "out"]);
        Self::over(house)
    }

    fn over(house: House) -> Self {
        let (backups, files) = (house.path("backups"), house.path("activations"));
        let folders = [
            "--backup-dir",
            backups.to_str().unwrap(),
            "--activation-dir",
            files.to_str().unwrap(),
        ];
        let server = house.serve_with(&folders);
        let admin = server.admin_key.clone().unwrap();
        let document = server.call("GET", "/api/v1/openapi.json", None, b"").json();
        let description = house.file("openapi.json", document.to_string());
        let (answers, made, run) = (RefCell::default(), Cell::new(0), OnceCell::new());
        Self {
            house,
            server,
            admin,
            operations: operations(&document),
            description,
            answers,
            made,
            run,
        }
    }

    fn key(&self, role: &str, app: &str) -> String {
        self.key_of(&json!({"role": role, "app": app}))
    }

    fn key_of(&self, key: &Value) -> String {
        let made = self.server.post("/api/v1/keys", &self.admin, key);
        made.json()["secret"].as_str().unwrap().to_owned()
    }

    fn number(&self) -> u32 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    /// An upload with one file that was never ingested.
    fn upload(&self) -> String {
        let id =
            self.server.post("/api/v1/apps/corner/uploads", &self.admin, &json!({})).json()["id"]
                .as_str()
                .unwrap()
                .to_owned();
        let number = self.number();
        let row = format!(
            "id,user,event,time,sku,amount\nmade-{number},ann,purchase,2026-06-20T10:00:00,s1,1\n"
        );
        let place = format!("/api/v1/apps/corner/uploads/{id}/files?name=made-{number}.csv");
        let sent = self.server.call(
            "PUT",
            &place,
            Some(&format!("Bearer {}", self.admin)),
            row.as_bytes(),
        );
        assert_eq!(sent.status, 204);
        id
    }

    /// A text of a row with what it names put in: things that are there, made for this call where
    /// it takes them away.
    fn filled(&self, text: &str) -> String {
        let mut text = text
            .replace("{app}", "corner")
            .replace("{crowd}/import", "listed/import")
            .replace("{crowd}", "others")
            .replace("{tag}", "purchases")
            .replace("{sink}", "hook")
            .replace("{activation}", "out")
            .replace("{delivery}", "1")
            .replace("flags/{key}", "flags/others")
            .replace("{kind}", "track");
        if text.contains("{number}") {
            text = text.replace("{number}", &self.number().to_string());
        }
        if text.contains("{version}") {
            let crowd = self.server.get("/api/v1/apps/corner/crowds/others", &self.admin).json();
            text = text.replace("{version}", &crowd["version"].to_string());
        }
        if text.contains("{write_key}") {
            text = text.replace("{write_key}", &self.key("write", "corner"));
        }
        if text.contains("{upload}") {
            text = text.replace("{upload}", &self.upload());
        }
        if text.contains("{user}") {
            let user = format!("user-{}", self.number());
            let change =
                json!({"create": true, "changes": [{"user": user, "tag": "city", "set": "Bonn"}]});
            assert_eq!(
                self.server.post("/api/v1/apps/corner/changes", &self.admin, &change).status,
                200
            );
            text = text.replace("{user}", &user);
        }
        if text.contains("/runs/{id}") {
            text = text.replace("{id}", self.run.get_or_init(|| self.begun()));
        }
        if text.contains("/keys/{id}") {
            let key = self
                .server
                .post("/api/v1/keys", &self.admin, &json!({"role": "judge", "app": "corner"}))
                .json();
            text = text.replace("{id}", key["id"].as_str().unwrap());
        }
        if text.contains("/receipts/{id}") {
            let body = json!({"ids": ["nobody"]});
            let place = "/api/v1/apps/corner/suppressions/lift";
            let lifted = self.server.post(place, &self.admin, &body).json();
            text = text.replace("{id}", lifted["receipt"].as_str().unwrap());
        }
        assert!(!text.contains("{id}"), "{text}: which id?");
        text
    }

    /// A run that has ended, for calls that ask about one.
    fn begun(&self) -> String {
        let answer = self.server.post(
            "/api/v1/apps/corner/produce",
            &self.admin,
            &json!({"tags": ["purchases"]}),
        );
        self.finished(&answer).unwrap()
    }

    /// The id of the run that an answer began, once it has ended.
    fn finished(&self, answer: &Answer) -> Option<String> {
        let id = serde_json::from_slice::<Value>(&answer.body).ok()?["id"].as_str()?.to_owned();
        let run = self.server.run_ended(&id, &self.admin);
        assert_eq!(run["state"], "succeeded", "{run}");
        Some(id)
    }

    /// Makes a row's call, and keeps the answer for the check against the document.
    fn call(&self, operation: &Operation, row: &Row, key: Option<&str>) -> Answer {
        let path = self.filled(&operation.path);
        let query = if row.query.is_empty() {
            String::new()
        } else {
            format!("?{}", self.filled(row.query))
        };
        let (content_type, body) = match row.sent {
            Sent::Nothing => ("application/json", String::new()),
            Sent::Json(text) => ("application/json", self.filled(text)),
            Sent::File(text) => ("application/octet-stream", text.to_owned()),
        };
        self.send(operation, &format!("{path}{query}"), key, content_type, body.as_bytes())
    }

    fn send(
        &self,
        operation: &Operation,
        place: &str,
        key: Option<&str>,
        content_type: &str,
        body: &[u8],
    ) -> Answer {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let answer = self.server.call_with(
            &operation.method,
            place,
            bearer.as_deref(),
            &[("content-type", content_type)],
            body,
        );
        let text = String::from_utf8(answer.body.clone()).unwrap_or_default();
        let (status, content_type) = (answer.status, &answer.content_type);
        let line = json!({"operation": operation.id, "status": status, "content_type": content_type, "text": text});
        self.answers.borrow_mut().push(line);
        let told_as_flags_are = place.starts_with("/ofrep/") && [400, 404, 503].contains(&status);
        if told_as_flags_are {
            let failure = answer.json();
            assert!(failure["errorCode"].is_string(), "{failure}");
        } else if status >= 400 {
            let problem = answer.json();
            assert_eq!(
                (content_type.as_str(), problem["status"].as_u64()),
                ("application/problem+json", Some(status.into())),
                "{problem}"
            );
        }
        answer
    }

    /// Holds all answers so far against the document.
    fn check_answers(&self, python: &str) {
        let lines: Vec<String> = self.answers.borrow().iter().map(Value::to_string).collect();
        let answers = self.house.file("answers.jsonl", lines.join("\n"));
        agrees(Command::new(python).arg(script("answers.py")).arg(&self.description).arg(answers));
    }
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                keyless: operation["security"] == json!([{}]),
                takes_json: operation["requestBody"]["content"]["application/json"].is_object(),
            });
        }
    }
    assert!(found.len() > 40, "{} operations", found.len());
    found
}

#[test]
fn the_document_is_valid_and_says_what_everything_is() {
    let Some(python) = needs::peers("the_document_is_valid_and_says_what_everything_is") else {
        return;
    };
    let shop = Shop::over(House::new());
    agrees(Command::new(python).arg(script("description.py")).arg(&shop.description));
}

#[test]
fn a_generated_client_calls_every_route() {
    let Some(python) = needs::peers("a_generated_client_calls_every_route") else { return };
    let shop = Shop::over(House::new());
    let mut client = Command::new(python);
    client.arg(script("client.py")).arg(&shop.description).args([&shop.server.base, &shop.admin]);
    agrees(client.arg(shop_definitions()).arg(shop.house.path("client")));
}

/// schemathesis, with all checks; tests/openapi/schemathesis.toml says which it leaves out where,
/// and why.
#[test]
fn generated_calls_find_no_disagreement() {
    let Some(python) = needs::peers("generated_calls_find_no_disagreement") else { return };
    let shop = Shop::open();
    for name in ["schemathesis.toml", "hooks.py"] {
        shop.house.file(name, std::fs::read(script(name)).unwrap());
    }
    let keys = shop.server.get("/api/v1/keys", &shop.admin).json();
    let mut checked = Command::new(Path::new(&python).with_file_name("st"));
    // Read from its own route, that route would be left out.
    checked
        .args(["run", "openapi.json", "--url", &shop.server.base])
        .current_dir(shop.house.path(""));
    let said = agrees(
        checked
            .env("TAGHOUSE_KEY", &shop.admin)
            .env("OWN_KEY_ID", keys["keys"][0]["id"].as_str().unwrap()),
    );
    assert!(
        said.contains(&format!("Tested: {}\n", shop.operations.len())),
        "each operation was called:\n{said}"
    );
    let tags = shop.server.get("/api/v1/apps/corner/tags", &shop.admin);
    assert_eq!(
        (tags.status, tags.json()["tags"].as_array().unwrap().len()),
        (200, 8),
        "the app and the key are still there"
    );
}

#[test]
fn every_route_answers_each_role_as_it_should() {
    let Some(python) = needs::peers("every_route_answers_each_role_as_it_should") else { return };
    let shop = Shop::open();
    let rows_of = |operation: &Operation| {
        ROWS.iter().filter(|row| row.operation == operation.id).collect::<Vec<_>>()
    };
    let missing: Vec<&str> = shop
        .operations
        .iter()
        .filter(|operation| rows_of(operation).is_empty())
        .map(|op| op.id.as_str())
        .collect();
    assert!(missing.is_empty(), "tests/openapi/rows.rs has no row of {missing:?}");
    let unknown: Vec<&str> = ROWS
        .iter()
        .map(|row| row.operation)
        .filter(|id| !shop.operations.iter().any(|op| op.id == *id))
        .collect();
    assert!(unknown.is_empty(), "tests/openapi/rows.rs has rows of no operation: {unknown:?}");

    let keys = ROLES.map(|role| (shop.key(role, "corner"), shop.key(role, "other")));
    let limited = shop.key_of(&json!({"role": "admin", "app": "corner", "grants": ["crowd:none_of_these=view,edit,activate,judge"]}));
    let expired = shop.key_of(&json!({"role": "admin", "app": "corner", "expires": "1s"}));
    driver::eventually("the key expires", || {
        (shop.server.get("/api/v1/apps", &expired).status == 401).then_some(())
    });
    for operation in &shop.operations {
        for row in rows_of(operation) {
            let named = |who: &str, answer: &Answer| {
                format!(
                    "{who} {} {}: {}",
                    operation.id,
                    row.query,
                    String::from_utf8_lossy(&answer.body)
                )
            };
            for (place, role) in ROLES.into_iter().enumerate() {
                let (own, of_other_app) = &keys[place];
                let answer = shop.call(operation, row, Some(own));
                assert_eq!(answer.status, row.statuses[place], "{}", named(role, &answer));
                if answer.status == 202 && operation.method == "POST" {
                    shop.finished(&answer);
                }
                let answer = shop.call(operation, row, Some(of_other_app));
                let expected =
                    if operation.path.contains("{app}") { 403 } else { row.of_another_app[place] };
                assert_eq!(
                    answer.status,
                    expected,
                    "{}",
                    named(&format!("{role} of another app"), &answer)
                );
            }
            let answer = shop.call(operation, row, Some(&limited));
            let expected = if operation.keyless { row.statuses[0] } else { row.limited };
            assert_eq!(answer.status, expected, "{}", named("without a grant", &answer));
            if answer.status == 202 && operation.method == "POST" {
                shop.finished(&answer);
            }
            for key in [None, Some("tgh_wrong"), Some(&expired)] {
                let answer = shop.call(operation, row, key);
                let expected = if operation.keyless { 200 } else { 401 };
                assert_eq!(answer.status, expected, "{}", named(&format!("key {key:?}"), &answer));
            }
        }
    }
    shop.check_answers(&python);
    every_call_left_its_line(shop);
}

/// Each operation says in the document what it leaves in the audit trail, or why nothing: it does.
fn every_call_left_its_line(mut shop: Shop) {
    let document: Value =
        serde_json::from_slice(&std::fs::read(&shop.description).unwrap()).unwrap();
    // What keys of one app may not do.
    let backup = shop.server.post("/api/v1/backups", &shop.admin, &json!({"folder": "of-all"}));
    assert_eq!(backup.status, 201, "{}", backup.json());
    // Sums of the last minute are written at the end.
    shop.server.terminate();
    let trail = |arguments: &[&str]| shop.house.json(&[&["audit"], arguments].concat());
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let (id, rule) = (&operation["operationId"], &operation["x-audit"]);
            let Some(action) = rule["action"].as_str() else {
                assert!(rule["none"].as_str().is_some_and(|why| why.len() > 20), "{id}: {rule}");
                continue;
            };
            let of_app = trail(&["--app", "corner", "--action", action]);
            let of_house = trail(&["--all-apps", "--action", action]);
            let lines = [&of_app, &of_house].map(|page| page["lines"].as_array().unwrap().len());
            assert!(lines[0] + lines[1] > 0, "{id} leaves no line of {action}");
        }
    }
}

/// With `--json`, a command prints what the operation answers with.
#[test]
fn commands_print_what_the_operations_answer() {
    let Some(python) = needs::peers("commands_print_what_the_operations_answer") else { return };
    let shop = Shop::open();
    let definitions = shop_definitions();
    let backup = shop.house.path("written");
    let commands: [(&str, &[&str]); 26] = [
        ("apply_definitions", &["apply", "--dry-run", "-f", definitions.to_str().unwrap()]),
        ("list_tags", &["tags"]),
        ("list_tag_values", &["tags", "purchases"]),
        ("list_crowds", &["crowds"]),
        ("list_crowd_versions", &["crowds", "others"]),
        ("publish_crowd", &["versions", "publish", "others"]),
        ("pin_crowd_version", &["versions", "pin", "others", "1"]),
        ("compare_crowd_versions", &["versions", "diff", "others", "1"]),
        ("count_users", &["count", "purchases >= 1"]),
        ("list_users", &["list", "purchases >= 1"]),
        ("list_top_values", &["top", "favourite"]),
        ("group_users", &["group", "favourite", "band"]),
        ("get_histogram", &["histogram", "spend_30d"]),
        ("get_overlap", &["overlap", "purchases >= 1", "band is set"]),
        ("compare_crowd", &["compare", "purchases >= 1", "--tag", "band"]),
        ("sample_users", &["sample", "purchases >= 1"]),
        ("judge_user", &["judge", "ann", "others"]),
        ("get_profile", &["profile", "ann"]),
        ("list_runs", &["runs"]),
        ("list_keys", &["keys"]),
        ("create_key", &["keys", "create", "--role", "judge"]),
        ("get_schema", &["schema"]),
        ("change_tags", &["change", "bob", "city", "Bonn"]),
        ("delete_users", &["delete", "eve", "nobody"]),
        ("list_tags", &["tags"]),
        ("create_backup", &["backup", backup.to_str().unwrap()]),
    ];
    for (operation, command) in commands {
        let arguments: Vec<&str> =
            ["--app", "corner"].into_iter().chain(command.iter().copied()).collect();
        let text = shop.house.json(&arguments).to_string();
        let status = if operation.starts_with("create_") { 201 } else { 200 };
        let line = json!({"operation": operation, "status": status, "content_type": "application/json", "text": text});
        shop.answers.borrow_mut().push(line);
    }
    shop.check_answers(&python);
}

#[test]
fn what_is_no_object_or_holds_an_unknown_field_is_refused() {
    let Some(python) = needs::peers("what_is_no_object_or_holds_an_unknown_field_is_refused")
    else {
        return;
    };
    let shop = Shop::open();
    let runs = || {
        shop.server.get("/api/v1/apps/corner/runs", &shop.admin).json()["runs"]
            .as_array()
            .unwrap()
            .len()
    };
    let before = runs();
    let taking: Vec<&Operation> =
        shop.operations.iter().filter(|operation| operation.takes_json).collect();
    assert!(taking.len() > 15, "{}", taking.len());
    for operation in taking {
        let place = shop.filled(&operation.path);
        let send = |content_type: &str, body: &str| {
            let answer =
                shop.send(operation, &place, Some(&shop.admin), content_type, body.as_bytes());
            let said = answer.json();
            let detail = said["detail"].as_str().or(said["errorDetails"].as_str()).unwrap();
            (answer.status, detail.to_owned())
        };
        for body in ["[]", "[null,null]", "[null]", "null", "\"x\"", "3", "", "{", "{} x"] {
            let (status, said) = send("application/json", body);
            assert!(status == 400 && !said.is_empty(), "{} {body}: {status} {said}", operation.id);
        }
        // The tracking API is Segment's: it takes what its libraries send, with any header and more
        // fields than are looked at. So do flags, by OFREP.
        let of_others = ["track", "send_metrics", "evaluate_flag", "evaluate_flags"];
        if of_others.contains(&operation.id.as_str()) {
            continue;
        }
        let (status, said) = send("application/json", "{\"nothing_like_this\": 1}");
        assert!(
            status == 400 && said.contains("unknown field `nothing_like_this`"),
            "{}: {status} {said}",
            operation.id
        );
        let (status, said) = send("text/plain", "{}");
        assert!(
            status == 415 && said.contains("application/json"),
            "{}: {status} {said}",
            operation.id
        );
    }
    let place = "/api/v1/apps/corner/top";
    for (body, words) in [
        (json!({"tagg": "band"}), "did you mean `tag`?"),
        (json!({"tag": "band", "limit": -1}), "at limit"),
        (json!({"tag": "band", "limit": 1.5}), "whole number"),
    ] {
        let said = shop.server.post(place, &shop.admin, &body).json();
        assert!(said["detail"].as_str().unwrap().contains(words), "{said}");
    }
    let said = shop
        .server
        .post(
            "/api/v1/apps/corner/group",
            &shop.admin,
            &json!({"rows": ["band", 5], "columns": {"tag": "band"}}),
        )
        .json();
    assert!(said["detail"].as_str().unwrap().contains("at rows: invalid type: sequence"), "{said}");
    let said = shop.server.get("/api/v1/apps/corner/tags/band?limt=5", &shop.admin).json();
    assert!(said["detail"].as_str().unwrap().contains("did you mean `limit`?"), "{said}");
    assert_eq!(runs(), before, "nothing was begun");
    shop.check_answers(&python);
}

#[test]
fn errors_of_layers_under_the_routes_are_problems_too() {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let shop = Shop::over(house);
    let bearer = format!("Bearer {}", shop.admin);
    let call = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let answer = shop.server.call_with(method, path, Some(&bearer), headers, body);
        let problem = answer.json();
        assert_eq!(
            (answer.content_type.as_str(), problem["status"].as_u64()),
            ("application/problem+json", Some(answer.status.into()))
        );
        assert!(
            problem["detail"].as_str().unwrap().len() > 10 && problem["title"].is_string(),
            "{problem}"
        );
        (answer.status, problem["type"].as_str().unwrap().to_owned())
    };
    let json = ("content-type", "application/json");
    let cases = [
        call("GET", "/nowhere", &[], b""),
        call("PATCH", "/api/v1/keys", &[json], b"{}"),
        call("POST", "/v1/track", &[json, ("content-encoding", "br")], b"{}"),
        call("POST", "/v1/track", &[json], &vec![b' '; 40 << 10]),
        call("POST", "/api/v1/keys", &[], b"{}"),
        call("POST", "/v1/track", &[json, ("content-encoding", "gzip")], b"not gzip"),
    ];
    let expected = [
        (404, "not_found"),
        (405, "method_not_allowed"),
        (415, "unsupported_media_type"),
        (413, "too_large"),
        (415, "unsupported_media_type"),
        (400, "invalid"),
    ];
    assert_eq!(cases, expected.map(|(status, word)| (status, word.to_owned())));
}

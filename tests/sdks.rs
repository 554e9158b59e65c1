//! Segment's own libraries, unmodified, send calls to the real server: from Node, from Python, and
//! from pages in a browser.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
mod needs;

use driver::{House, Server, eventually};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DEFINITIONS: &str = "
kind: app
id: t
time_zone: UTC
---
kind: source
name: site
format: segment
properties:
  amount: { column: amount, type: int }
  group_id: group_id
attributes:
  plan: plan
  colours: { column: colours, type: set }
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: tag, name: colours, type: set, attribute: colours}
---
{kind: tag, name: paid, type: int, aggregate: {function: sum, value: amount, events: [Order Paid]}}
---
{kind: tag, name: pages, type: int, aggregate: {function: count, events: [page]}}
---
{kind: tag, name: screens, type: int, aggregate: {function: count, events: [screen]}}
---
{kind: tag, name: groups, type: enum, aggregate: {function: last, value: group_id, events: [group]}}
---
{kind: tag, name: aliases, type: int, aggregate: {function: count, events: [alias]}}
";

struct Site {
    house: House,
    server: Server,
    write_key: String,
}

impl Site {
    fn open(flags: &[&str]) -> Self {
        let house = House::new();
        house.ok(&["apply", "-f", house.file("app.yaml", DEFINITIONS).to_str().unwrap()]);
        let server = house.serve_with(flags);
        let write_key = house.json(&["keys", "create", "--role", "write"])["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        Self { house, server, write_key }
    }

    fn told<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("TARGET", &self.server.base).env("WRITE_KEY", &self.write_key)
    }

    /// Waits until a user's tags are these, and so until all that a library sent has landed.
    fn has(&self, user: &str, tags: &Value) {
        let mut last = json!(null);
        let found = (0..40).any(|_| {
            self.house.ok(&["produce"]);
            let answer = self.server.get(
                &format!("/api/v1/apps/t/profile?user={user}"),
                self.server.admin_key.as_ref().unwrap(),
            );
            last = answer.json()["tags"].clone();
            let same = last == *tags;
            if !same {
                std::thread::sleep(std::time::Duration::from_millis(250));
            }
            same
        });
        assert!(found, "{user} has {last}, not {tags}");
    }

    fn rejected_nothing(&self) {
        let landing = self
            .server
            .get("/api/v1/apps/t/landing", self.server.admin_key.as_ref().unwrap())
            .json();
        assert_eq!(
            (&landing["rejected"], &landing["last_error"]),
            (&json!(0), &json!(null)),
            "{landing}"
        );
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/sdks")
        .join(name)
        .canonicalize()
        .unwrap()
}

/// A script laid beside the packages that it draws in, where node finds them.
fn beside_packages(packages: &Path, name: &str) -> PathBuf {
    let place = packages.join(format!("{}-{name}", std::process::id()));
    std::fs::copy(script(name), &place).unwrap();
    place
}

fn runs(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}\n{said}");
}

/// What the scripts of Node and Python bring, each for a user of its own.
fn everything(paid: u64) -> Value {
    json!({"plan": "pro", "colours": ["7", "red"], "paid": paid, "pages": 1, "screens": 1, "groups": "acme", "aliases": 1})
}

#[test]
fn the_library_for_node() {
    let Some(packages) = needs::sdks("the_library_for_node") else { return };
    let site = Site::open(&[]);
    let place = beside_packages(&packages, "node_sends.mjs");
    runs(site.told(Command::new("node").arg(&place)));
    std::fs::remove_file(place).unwrap();
    site.has("of-node", &everything((1..=40).sum()));
    site.rejected_nothing();
}

#[test]
fn the_library_for_python() {
    let Some(python) = needs::peers("the_library_for_python") else { return };
    let site = Site::open(&[]);
    runs(site.told(Command::new(python).arg(script("python_sends.py"))));
    site.has("of-python", &everything((1..=40).sum()));
    site.has("of-gzip", &json!({"paid": 1}));
    site.has("of-sync", &json!({"paid": 1}));
    site.rejected_nothing();
}

#[test]
fn the_library_for_browsers_in_a_browser() {
    let Some(packages) = needs::sdks("the_library_for_browsers_in_a_browser") else { return };
    let chromium = needs::chromium();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let origin = format!("http://127.0.0.1:{port}");
    let site = Site::open(&["--web-origins", &origin]);
    let place = beside_packages(&packages, "browser_sends.mjs");
    let mut command = Command::new("node");
    command.arg(&place).env("PAGE_PORT", port.to_string()).env("CHROMIUM", chromium);
    let said = site.house.path("browser.stderr");
    let stderr = std::fs::File::create(&said).unwrap();
    let mut browser = site.told(&mut command).stdin(Stdio::piped()).stderr(stderr).spawn().unwrap();
    let heard = || std::fs::read_to_string(&said).unwrap();
    let landed = || {
        site.server.get("/api/v1/apps/t/landing", site.server.admin_key.as_ref().unwrap()).json()
    };
    // 6 events of the first page, 4 of the second, 2 of the snippet, 1 beacon.
    eventually("all calls of the pages", || {
        assert!(browser.try_wait().unwrap().is_none(), "the browser has ended: {}", heard());
        (landed()["events"] == 13).then_some(())
    });
    site.has("of-browser", &everything(3));
    site.has("of-batches", &json!({"plan": "basic", "paid": 10}));
    site.has("of-snippet", &json!({"plan": "basic", "paid": 3}));
    site.has("of-beacon", &json!({"paid": 1}));
    site.rejected_nothing();
    drop(browser.stdin.take());
    let ended = browser.wait().unwrap();
    std::fs::remove_file(place).unwrap();
    assert!(ended.success(), "{}", heard());
}

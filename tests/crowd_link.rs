//! Crowds whose file the server fetches: what has not changed is not imported again, what cannot be
//! had changes nothing, and no address is reached that is not permitted.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, PEOPLE, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// User `uN` has N orders.
const USERS: usize = 100;

/// What a partner's server has, and what it was asked.
#[derive(Default)]
struct Site {
    status: u16,
    etag: Option<&'static str>,
    headers: String,
    body: Vec<u8>,
    /// It says that there is more than it sends, and goes on sending nothing.
    hangs: bool,
    /// The heads of the requests.
    asked: Vec<String>,
}

struct Partner {
    address: SocketAddr,
    site: Arc<Mutex<Site>>,
}

impl Partner {
    fn with(body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let site = Site { status: 200, body: body.into(), ..Site::default() };
        let site = Arc::new(Mutex::new(site));
        let shared = site.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (socket, site) = (socket.unwrap(), shared.clone());
                std::thread::spawn(move || answer(&socket, &site));
            }
        });
        Self { address, site }
    }

    fn now(&self, change: impl FnOnce(&mut Site)) {
        change(&mut self.site.lock().unwrap());
    }

    fn asked(&self) -> Vec<String> {
        self.site.lock().unwrap().asked.clone()
    }
}

fn answer(mut socket: &TcpStream, site: &Mutex<Site>) {
    let mut head = String::new();
    let mut reader = BufReader::new(socket);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let (answer, hangs) = {
        let mut site = site.lock().unwrap();
        site.asked.push(head.to_ascii_lowercase());
        let known = site.etag.is_some_and(|etag| head.contains(etag));
        let status = if known { 304 } else { site.status };
        let body = if status == 200 { site.body.clone() } else { Vec::new() };
        let etag = site.etag.map(|etag| format!("etag: {etag}\r\n")).unwrap_or_default();
        let length = body.len() + usize::from(site.hangs);
        let mut answer = format!(
            "HTTP/1.1 {status} Said\r\n{etag}{}content-length: {length}\r\nconnection: close\r\n\r\n",
            site.headers
        )
        .into_bytes();
        answer.extend(body);
        (answer, site.hangs)
    };
    _ = socket.write_all(&answer);
    if hangs {
        std::thread::sleep(Duration::from_secs(30));
    }
}

fn opened(partner: &Partner, more: &str) -> House {
    let house = House::new();
    let url = format!("http://{}/lists/club.csv?of=all", partner.address);
    let crowds = format!(
        "{{kind: crowd, name: club, import: {{link: {{url: '{url}'{more}}}}}}}\n---\n{{kind: crowd, name: busy_club, expression: 'crowd(\"club\") && orders >= 50'}}"
    );
    let app = house.file("app.yaml", format!("{PEOPLE}---\n{crowds}\n"));
    house.ok(&["apply", "-f", app.to_str().unwrap()]);
    house.ingest_people(USERS);
    house.ok(&["produce"]);
    house
}

fn pull(house: &House) -> Value {
    let output = house
        .command(&["--webhook-networks", "127.0.0.1", "--json", "import", "club"])
        .env("WEBHOOK_PARTNER", "a secret")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(house: &House) -> String {
    let output =
        house.command(&["--webhook-networks", "127.0.0.1", "import", "club"]).output().unwrap();
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn members(house: &House, crowd: &str) -> Vec<String> {
    house.ok(&["export", crowd]).lines().skip(1).map(str::to_owned).collect()
}

fn version(report: &Value) -> (u64, bool) {
    let import = &report["import"];
    (import["version"].as_u64().unwrap(), import["repeated"].as_bool().unwrap())
}

#[test]
fn a_file_is_imported_when_it_is_another() {
    let partner = Partner::with("user_id\nu1\nu60\nnobody\n");
    let house = opened(&partner, ", headers: {authorization: 'Bearer ${WEBHOOK_PARTNER}'}");
    let report = pull(&house);
    assert_eq!(version(&report), (1, false));
    assert_eq!((&report["import"]["rows"], &report["import"]["unknown"]), (&json!(3), &json!(1)));
    assert_eq!(members(&house, "club"), ["u1", "u60"]);
    assert_eq!(house.count("crowd(\"club\") && orders >= 50"), 1);
    let asked = partner.asked();
    assert!(asked[0].starts_with("get /lists/club.csv?of=all http/1.1"), "{asked:?}");
    assert!(asked[0].contains("authorization: bearer a secret"), "{asked:?}");

    // The same bytes, without a word of the server: read, and not imported.
    assert_eq!(version(&pull(&house)), (1, true));

    // With a tag the server says so itself. Of a new tag alone the file is not another.
    partner.now(|site| site.etag = Some("\"one\""));
    assert_eq!(version(&pull(&house)), (1, true));
    partner.now(|site| site.body = "user_id\nu60\nu99\n".into());
    assert_eq!(version(&pull(&house)), (2, false));
    assert_eq!(members(&house, "club"), ["u60", "u99"]);
    assert_eq!(version(&pull(&house)), (2, true));
    assert!(partner.asked().last().unwrap().contains("if-none-match: \"one\""));

    // A file by hand in between: the link's is imported again, though it has not changed.
    let file = house.file("by-hand.csv", "user_id\nu5\n");
    house.ok(&["import", "club", file.to_str().unwrap()]);
    assert_eq!(members(&house, "club"), ["u5"]);
    assert_eq!(version(&pull(&house)), (4, false));
    assert_eq!(members(&house, "club"), ["u60", "u99"]);
}

#[test]
fn what_cannot_be_had_changes_nothing() {
    let partner = Partner::with("user_id\nu1\n");
    let house = opened(&partner, ", timeout: 2s, megabytes: 1");
    pull(&house);
    type Change = fn(&mut Site);
    let cases: [(&str, Change, &str); 6] = [
        ("missing", |site| site.status = 404, "the server answered 404"),
        ("failing", |site| site.status = 503, "the server answered 503"),
        (
            "elsewhere",
            |site| (site.status, site.headers) = (302, "location: http://127.0.0.1:1/\r\n".into()),
            "a redirect, which is not followed",
        ),
        ("hanging", |site| (site.status, site.hangs) = (200, true), "it took longer than 2 s"),
        (
            "large",
            |site| (site.hangs, site.body) = (false, vec![b'1'; (1 << 20) + 1]),
            "larger than 1 MiB",
        ),
        ("empty", |site| site.body = "user_id\n".into(), "none of the 0 rows"),
    ];
    for (what, change, message) in cases {
        partner.now(change);
        let said = refused(&house);
        assert!(said.contains(message), "{what}: {said}");
        assert_eq!(members(&house, "club"), ["u1"], "{what}");
    }
    let left = std::fs::read_dir(house.data().join("scratch")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "files that were fetched stay");

    // Nobody is there.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = std::fs::read_to_string(house.path("app.yaml")).unwrap();
    let text = text.replace(&partner.address.to_string(), &gone.to_string());
    let app = house.file("app.yaml", text);
    house.ok(&["apply", "-f", app.to_str().unwrap()]);
    assert!(refused(&house).contains("could not be fetched"));
    // At an address that the operator has not permitted.
    let said = house.refused(&["import", "club"]);
    assert!(said.contains("--webhook-networks"), "{said}");
    assert_eq!(members(&house, "club"), ["u1"]);
}

#[test]
fn the_server_looks_for_it_by_the_clock() {
    let partner = Partner::with("user_id\nu1\n");
    let house = opened(&partner, ", every: 1m");
    let _server = house.serve_with(&["--webhook-networks", "127.0.0.1"]);
    eventually("the first file is there", || {
        let crowds = house.json(&["crowds"]);
        let all = crowds["crowds"].as_array().unwrap();
        let club = all.iter().find(|crowd| crowd["name"] == "club").unwrap();
        (club["size"] == json!(1)).then_some(())
    });
    assert_eq!(members(&house, "club"), ["u1"]);
    let runs = house.json(&["runs"]);
    let imported = |run: &Value| run["kind"] == "import" && run["state"] == "succeeded";
    assert!(runs["runs"].as_array().unwrap().iter().any(imported), "{runs}");
}

#[test]
fn a_definition_that_cannot_be_is_refused_with_its_place() {
    let house = House::new();
    for (link, message) in [
        ("{url: 'ftp://a.example/x'}", "not ftp:"),
        ("{url: 'https://me:word@a.example/x'}", "user name or password"),
        ("{url: 'https://a.example/x', every: 5s}", "`every` is 1m to 30d long"),
        ("{url: 'https://a.example/x', megabytes: 0}", "`megabytes` is 1 to 4096"),
        ("{url: 'https://a.example/x', headers: {authorization: plain}}", "carries a secret"),
        ("{url: 'https://a.example/x', headers: {host: b}}", "cannot be given"),
    ] {
        let crowd = format!("{PEOPLE}---\n{{kind: crowd, name: club, import: {{link: {link}}}}}\n");
        let app = house.file("app.yaml", crowd);
        let said = house.refused(&["apply", "-f", app.to_str().unwrap()]);
        assert!(said.contains(message), "{link}: {said}");
    }
}

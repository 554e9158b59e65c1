//! What the port of a server endures: requests that never end, callers that hold connections or
//! take no answers, more connections than files.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server, eventually, shop_definitions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Far more than any timer of these tests, so that a slow machine does not fail them.
const LONG: Duration = Duration::from_secs(30);

fn shop() -> House {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let orders = house.file(
        "orders-1.csv",
        "id,user,event,time,sku,amount\n1,ann,purchase,2026-06-20T10:00:00,s1,60.10\n",
    );
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
    house
}

fn connect(server: &Server) -> TcpStream {
    let socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

/// What comes until the server closes; a failure where it does not.
fn until_closed(socket: &mut TcpStream) -> String {
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match socket.read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the server holds the connection: {error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status line of the answer to a request on a connection that stays.
fn answered(socket: &mut TcpStream, request: &str) -> String {
    socket.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(socket);
    let (mut status, mut length) = (String::new(), 0);
    reader.read_line(&mut status).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = bytes.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    status.trim().to_owned()
}

fn landed(server: &Server, key: &str) -> u64 {
    server.get("/api/v1/apps/corner/landing", key).json()["events"].as_u64().unwrap()
}

fn track(server: &Server, key: &str) {
    let call = json!({"userId": "ann", "event": "purchase", "timestamp": "2026-06-20T10:00:00.000Z", "properties": {"sku": "s1", "amount": 1}});
    let before = landed(server, key);
    assert_eq!(server.post("/v1/track", key, &call).status, 200);
    eventually("landing", || (landed(server, key) > before).then_some(()));
}

#[test]
fn requests_that_do_not_end_are_cut_and_idle_connections_closed() {
    let house = shop();
    let timers = ["--head-timeout", "0.5", "--body-timeout", "0.5", "--idle-timeout", "2"];
    let server = house.serve_with(&timers);
    let key = server.admin_key.clone().unwrap();

    let mut head = connect(&server);
    let began = Instant::now();
    head.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
    // A byte now and then does not help.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(50));
        head.write_all(b"a").ok();
    }
    assert_eq!(until_closed(&mut head), "");
    assert!(began.elapsed() >= Duration::from_millis(450), "not before its time");

    for (method, path) in [
        ("POST", "/api/v1/apps/corner/count"),
        ("POST", "/v1/track"),
        ("POST", "/api/v1/apps/corner/judge"),
    ] {
        let mut body = connect(&server);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        );
        body.write_all(head.as_bytes()).unwrap();
        body.write_all(b"{\"expr").unwrap();
        let answer = until_closed(&mut body);
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("timeout"),
            "{path}: {answer}"
        );
    }
    let upload = server.post("/api/v1/apps/corner/uploads", &key, &json!({})).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut body = connect(&server);
    let path = format!("/api/v1/apps/corner/uploads/{upload}/files?name=orders-2.csv");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 100\r\n\r\nid,user"
    );
    body.write_all(head.as_bytes()).unwrap();
    let answer = until_closed(&mut body);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");

    // One that never said anything, and one that had an answer.
    let mut silent = connect(&server);
    let mut kept = connect(&server);
    kept.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(until_closed(&mut kept).starts_with("HTTP/1.1 200 OK"));
    assert_eq!(until_closed(&mut silent), "");
    track(&server, &key);
}

#[test]
fn a_reader_that_takes_nothing_is_cut() {
    let house = shop();
    let server = house.serve_with(&["--write-timeout", "1"]);
    let mut deaf = connect(&server);
    // Answers of 100 KB and more, until no buffer between us takes any.
    let ask = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
    deaf.set_write_timeout(Some(LONG)).unwrap();
    let began = Instant::now();
    let cut = loop {
        if let Err(error) = deaf.write_all(ask) {
            break error;
        }
        assert!(began.elapsed() < LONG, "the server still waits for us to read");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(matches!(cut.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{cut}");
    assert_eq!(server.call("GET", "/api/v1/health", None, b"").status, 200);
}

#[test]
fn connections_that_only_hold_on_leave_room_for_files_and_for_others() {
    hold_on(256, 400);
}

/// The figure at which landings failed for want of a file.
#[test]
fn eleven_hundred_connections_at_1024_files_stop_nothing() {
    // This process holds the other ends.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    hold_on(1024, 1100);
}

#[test]
fn the_limit_of_open_files_is_raised_at_the_start() {
    let house = shop();
    let server = house.serve_with_limit("ulimit -Sn 300 && ulimit -Hn 2000", &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(
        files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(),
        ["2000", "2000"],
        "{files}"
    );
    let held: Vec<TcpStream> = (0..700).map(|_| connect(&server)).collect();
    let key = server.admin_key.clone().unwrap();
    track(&server, &key);
    drop(held);
}

/// So many connections that only hold on, on a server that may open so many files.
fn hold_on(files: u32, connections: usize) {
    let house = shop();
    let server = house.serve_with_files(files, &[]);
    let key = server.admin_key.clone().unwrap();
    let mut kept = connect(&server);
    let ask = format!(
        "GET /api/v1/apps/corner/judge?user=ann&crowd=others HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
    );
    let mut held = Vec::new();
    for number in 0..connections {
        let mut socket = connect(&server);
        if number % 2 == 0 {
            socket.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: ").unwrap();
        }
        held.push(socket);
        // One that works is never the one that waits longest.
        if number % 20 == 0 {
            assert_eq!(answered(&mut kept, &ask), "HTTP/1.1 200 OK", "after {number} connections");
        }
    }
    assert_eq!(server.call("GET", "/api/v1/health", None, b"").status, 200);
    assert_eq!(server.get("/api/v1/apps/corner/judge?user=ann&crowd=others", &key).status, 200);
    track(&server, &key);
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(open < files as usize, "{open} files");
    drop(held);
}

/// A request that runs: its head is read and its body asked for, and does not come.
fn hold(server: &Server, key: &str, path: &str) -> TcpStream {
    let mut socket = connect(server);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: 40\r\nExpect: 100-continue\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut asked = [0; 25];
    socket.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket
}

#[test]
fn a_server_all_of_whose_connections_work_says_so_to_the_next() {
    let house = shop();
    let server = house.serve_with(&["--max-connections", "2"]);
    let key = server.admin_key.clone().unwrap();
    let held =
        ["count", "list"].map(|path| hold(&server, &key, &format!("/api/v1/apps/corner/{path}")));
    let mut next = connect(&server);
    next.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let answer = until_closed(&mut next);
    assert!(
        answer.starts_with("HTTP/1.1 503 ")
            && answer.contains("retry-after: 1")
            && answer.contains("--max-connections"),
        "{answer}"
    );
    drop(held);
    eventually("a place", || {
        let mut socket = connect(&server);
        socket
            .write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .ok();
        until_closed(&mut socket).starts_with("HTTP/1.1 200 ").then_some(())
    });
}

#[test]
fn a_server_that_is_told_to_end_answers_what_runs_and_ends_in_time() {
    let house = shop();
    let mut server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let _silent = connect(&server);
    let mut half = connect(&server);
    half.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: ").unwrap();
    // A call whose body is still on its way when the end comes is finished and kept.
    let mut call = connect(&server);
    let body =
        json!({"userId": "bob", "event": "purchase", "timestamp": "2026-06-20T10:00:00.000Z", "properties": {"sku": "s1", "amount": 1}})
            .to_string();
    let head = format!(
        "POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    call.write_all(head.as_bytes()).unwrap();
    call.write_all(&body.as_bytes()[..10]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let took = std::thread::scope(|scope| {
        let ending = scope.spawn(|| server.terminate());
        std::thread::sleep(Duration::from_millis(300));
        call.write_all(&body.as_bytes()[10..]).unwrap();
        assert!(
            until_closed(&mut call).starts_with("HTTP/1.1 200 OK"),
            "what had begun is answered"
        );
        ending.join().unwrap()
    });
    assert!(took < Duration::from_secs(10), "{took:?}");
    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
    assert_eq!(house.count("purchases >= 1"), 2, "what was acknowledged is there");
}

#[test]
fn a_key_has_so_many_questions_under_way_and_others_are_answered() {
    let house = shop();
    let server = house.serve_with(&["--questions-per-key", "2", "--calls-per-key", "2"]);
    let admin = server.admin_key.clone().unwrap();
    let key = |role: &str| {
        server.post("/api/v1/keys", &admin, &json!({"role": role, "app": "corner"})).json()["secret"].as_str().unwrap().to_owned()
    };
    let (viewer, other, writer) = (key("viewer"), key("viewer"), key("write"));
    // A question whose body is on its way holds its place.
    let hold = |key: &str, path: &str| hold(&server, key, path);
    let count = json!({"expression": "purchases >= 1"});
    let held =
        [hold(&viewer, "/api/v1/apps/corner/count"), hold(&viewer, "/api/v1/apps/corner/list")];
    let refused = server.post("/api/v1/apps/corner/top", &viewer, &json!({"tag": "favourite"}));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("2 questions under way") && detail.contains("--questions-per-key"),
        "{detail}"
    );
    assert_eq!(
        (refused.json()["type"].clone(), refused.retry_after.as_deref()),
        (json!("too_many_requests"), Some("1"))
    );
    assert_eq!(
        server.get("/api/v1/apps/corner/judge?user=ann&crowd=others", &viewer).status,
        200,
        "judgments have a place of their own"
    );
    assert_eq!(
        server.post("/api/v1/apps/corner/count", &other, &count).status,
        200,
        "another key has its own"
    );
    drop(held);
    eventually("places that are given back", || {
        (server.post("/api/v1/apps/corner/count", &viewer, &count).status == 200).then_some(())
    });

    let _held = [hold(&writer, "/v1/track"), hold(&writer, "/api/v1/apps/corner/changes")];
    assert_eq!(
        server.post("/v1/track", &writer, &json!({"userId": "a", "event": "x"})).status,
        429
    );
}

#[test]
fn uploads_have_a_quota_that_is_named_and_go_when_nobody_ingests_them() {
    let house = shop();
    let flags = [
        "--upload-bytes-per-app",
        "2MiB",
        "--uploads-per-app",
        "2",
        "--upload-files",
        "2",
        "--upload-hours",
        "0.003",
    ];
    let server = house.serve_with(&flags);
    let key = server.admin_key.clone().unwrap();
    let begin = || server.post("/api/v1/apps/corner/uploads", &key, &json!({}));
    let put = |id: &str, name: &str, bytes: usize| {
        let path = format!("/api/v1/apps/corner/uploads/{id}/files?name={name}");
        server.call("PUT", &path, Some(&format!("Bearer {key}")), &vec![b'x'; bytes])
    };
    let refused = |answer: driver::Answer, status: u16, flag: &str| {
        assert_eq!(answer.status, status, "{}", answer.json());
        assert!(answer.json()["detail"].as_str().unwrap().contains(flag), "{}", answer.json());
    };
    let id = begin().json()["id"].as_str().unwrap().to_owned();
    assert_eq!(put(&id, "a.csv", 1_500_000).status, 204);
    refused(put(&id, "b.csv", 700_000), 507, "--upload-bytes-per-app");
    assert_eq!(put(&id, "b.csv", 100_000).status, 204, "what did not fit took nothing");
    refused(put(&id, "c.csv", 1), 429, "--upload-files");
    assert_eq!(begin().status, 201);
    refused(begin(), 429, "--uploads-per-app");
    eventually("sweeping", || {
        let left = std::fs::read_dir(house.data().join("uploads/corner")).unwrap().count();
        (left == 0).then_some(())
    });
    assert_eq!(put(&id, "d.csv", 1).status, 404);
    assert_eq!(begin().status, 201, "there is room again");
}

#[test]
fn health_tells_unknown_callers_no_names() {
    let house = shop();
    let server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let secret = |role: &str| {
        server.post("/api/v1/keys", &admin, &json!({"role": role, "app": "corner"})).json()["secret"].as_str().unwrap().to_owned()
    };
    let (viewer, writer) = (secret("viewer"), secret("write"));
    let metadata = house.data().join("lake/corner/events/metadata");
    std::fs::rename(&metadata, metadata.with_extension("away")).unwrap();
    std::fs::write(&metadata, "").unwrap();
    let call = json!({"userId": "ann", "event": "purchase", "timestamp": "2026-06-20T10:00:00.000Z", "properties": {"sku": "s1", "amount": 1}});
    assert_eq!(server.post("/v1/track", &admin, &call).status, 200);
    let health = |key: Option<&str>| {
        server.call("GET", "/api/v1/health", key.map(|key| format!("Bearer {key}")).as_deref(), b"")
    };
    eventually("a failed landing", || (health(None).status == 503).then_some(()));
    for key in [None, Some("tgh_wrong"), Some(writer.as_str())] {
        let answer = health(key);
        let said = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(answer.status, 503, "{key:?}");
        assert!(
            said.contains("do not land") && !said.contains("corner") && !said.contains("metadata"),
            "{key:?}: {said}"
        );
    }
    for reader in [&admin, &viewer] {
        assert!(health(Some(reader)).json()["detail"].as_str().unwrap().contains("\"corner\""));
    }
}

#[test]
fn a_file_whose_caller_left_takes_no_room() {
    let house = shop();
    let server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let upload = server.post("/api/v1/apps/corner/uploads", &key, &json!({})).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let folder = house.data().join("uploads/corner").join(&upload);
    let parts = || {
        let names = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".part-")).count()
    };
    for number in 0..5 {
        let head = format!(
            "PUT /api/v1/apps/corner/uploads/{upload}/files?name=cut-{number}.csv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 4000000\r\n\r\n"
        );
        let mut socket = connect(&server);
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(&vec![b'x'; 2_000_000]).unwrap();
        eventually("the file's beginning", || (parts() == 1).then_some(()));
        drop(socket);
        eventually("what was cut is gone", || (parts() == 0).then_some(()));
    }
}

#[test]
fn a_revocation_is_carried_out_though_its_caller_left() {
    let house = shop();
    let server = house.serve();
    let admin = server.admin_key.clone().unwrap();
    let keys: Vec<(String, String)> = (0..40)
        .map(|_| {
            let made =
                server.post("/api/v1/keys", &admin, &json!({"role": "viewer", "note": "n"})).json();
            (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
        })
        .collect();
    for (number, (id, _)) in keys.iter().enumerate() {
        let head = format!(
            "DELETE /api/v1/keys/{id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {admin}\r\n\r\n"
        );
        let mut socket = connect(&server);
        socket.write_all(head.as_bytes()).unwrap();
        // At each moment between its arrival and its commit.
        std::thread::sleep(Duration::from_micros(250 * number as u64));
    }
    // A call that was gone before the server saw it did nothing. None may be revoked in the list
    // and work all the same.
    let mut revoked = 0;
    eventually("each key that is revoked is refused", || {
        std::thread::sleep(Duration::from_secs(1));
        let listed = server.get("/api/v1/keys", &admin).json();
        let works = |id: &str| {
            listed["keys"]
                .as_array()
                .unwrap()
                .iter()
                .any(|key| key["id"] == id && key["revoked_ms"].is_null())
        };
        let refused = |secret: &str| server.get("/api/v1/apps", secret).status == 401;
        revoked = keys.iter().filter(|(id, _)| !works(id)).count();
        keys.iter().all(|(id, secret)| works(id) != refused(secret)).then_some(())
    });
    assert!(revoked > 0, "no call of forty arrived");
}

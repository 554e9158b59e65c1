//! Exports that nobody reads take nothing away from others, and are cut.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, Server, shop_definitions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const USERS: usize = 60_000;
const STALLED: usize = 64;

/// More than the sockets of both sides take in: some 13 MB of ids.
fn ids() -> impl Iterator<Item = String> {
    (0..USERS).map(|n| format!("{n:0>200}"))
}

/// A server with a crowd of everybody.
fn crowded() -> House {
    let house = House::new();
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let mut rows = String::from("id,user,event,time,sku,amount\n");
    for (n, user) in ids().enumerate() {
        rows.push_str(&format!("{n},{user},purchase,2026-06-20T10:00:00,s1,60.10\n"));
    }
    let file = house.file("orders.csv", rows);
    house.ok(&["ingest", "--source", "orders", file.to_str().unwrap()]);
    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
    house
}

/// Asks for an export, and reads nothing.
fn stalled(server: &Server, key: &str, format: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.base.trim_start_matches("http://")).unwrap();
    let path = format!("/api/v1/apps/corner/crowds/others/export?format={format}");
    socket
        .write_all(
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n")
                .as_bytes(),
        )
        .unwrap();
    socket
}

#[test]
fn exports_that_nobody_reads_keep_no_place() {
    let house = crowded();
    let server = house.serve_with(&["--write-timeout", "20"]);
    let key = server
        .admin_key
        .clone()
        .unwrap_or_else(|| house.ok(&["keys", "create", "--role", "admin"]).trim().to_owned());
    let sockets: Vec<TcpStream> =
        (0..STALLED).map(|n| stalled(&server, &key, ["csv", "jsonl"][n % 2])).collect();
    // Until all of them are under way.
    for socket in &sockets {
        assert_eq!(
            socket.peek(&mut [0; 1]).unwrap_or(1),
            1,
            "an export that ended before it began"
        );
    }
    let expected: String =
        std::iter::once("user_id".to_owned()).chain(ids()).map(|line| line + "\n").collect();
    let answer = server.get("/api/v1/apps/corner/crowds/others/export?format=csv", &key);
    assert_eq!(answer.status, 200);
    assert!(
        answer.body == expected.as_bytes(),
        "{} bytes instead of {}",
        answer.body.len(),
        expected.len()
    );
    // Whoever takes nothing for long is cut: what was on the way comes, and then the end, before
    // the end of the file.
    std::thread::sleep(Duration::from_secs(30));
    for (n, mut socket) in sockets.into_iter().enumerate() {
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut taken = Vec::new();
        let ended = socket.read_to_end(&mut taken);
        assert!(
            ended.as_ref().is_ok()
                || ended.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset),
            "{ended:?}"
        );
        assert!(taken.len() < expected.len(), "export {n} was not cut: {} bytes came", taken.len());
    }
}

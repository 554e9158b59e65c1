//! kill −9 at many points of ingest and produce, then the same command again: the same answers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;

use driver::{House, shop_definitions};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

const AS_OF: &str = "2026-07-01T00:00";

/// Files of orders; `more` is on top of each amount.
fn orders(house: &House, more: u32) -> PathBuf {
    let mut folder = PathBuf::new();
    for file in 0..40 {
        let mut text = String::from("id,user,event,time,sku,amount\n");
        for row in 0..500 {
            let (user, day) = ((row * 7 + file * 13) % 900, 1 + (row + file) % 30);
            let id = file * 500 + row;
            writeln!(
                text,
                "{id},u{user},purchase,2026-06-{day:02}T10:00:00,s{},{}.{:02}",
                row % 50,
                row % 90 + more,
                row % 100
            )
            .unwrap();
        }
        folder = house.file(&format!("in/orders-{file:02}.csv"), text).parent().unwrap().to_owned();
    }
    folder
}

fn answers(house: &House) -> Vec<String> {
    let tags = house.json(&["tags"]);
    let sums = tags["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| format!("{} {} {}", tag["name"], tag["users"], tag["sum"]));
    let crowds = ["high_spenders", "others"].map(|crowd| house.ok(&["export", crowd]));
    let counts = ["spend_30d >= 50", "favourite like 's1%'", "!(purchases >= 20)"]
        .map(|expression| house.count(expression).to_string());
    sums.chain(crowds).chain(counts).collect()
}

/// Runs a command, kills it after a while, and so on with longer whiles until it gets through by
/// itself.
fn kill_until_done(house: &House, arguments: &[&str], whole: Duration) -> u32 {
    let mut kills = 0;
    for step in 1.. {
        let mut child =
            house.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + whole * step / 12;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{arguments:?} after {kills} kills");
                return kills;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    kills
}

#[test]
fn killed_at_any_moment_and_run_again_gives_the_same_answers() {
    let calm = House::new();
    let folder = orders(&calm, 0);
    let ingest = ["ingest", "--source", "orders", folder.to_str().unwrap()];
    let produce = ["produce", "--as-of", AS_OF];
    calm.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let began = Instant::now();
    calm.ok(&ingest);
    let ingest_took = began.elapsed();
    calm.ok(&produce);
    let produce_took = began.elapsed() - ingest_took;
    let expected = answers(&calm);
    assert_eq!(calm.json(&["tags"])["tags"][2]["name"], "favourite");

    let killed = House::new();
    killed.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let ingest_kills = kill_until_done(&killed, &ingest, ingest_took);
    let produce_kills = kill_until_done(&killed, &produce, produce_took);
    assert!(
        ingest_kills >= 3 && produce_kills >= 3,
        "only {ingest_kills} and {produce_kills} kills hit"
    );
    assert_eq!(answers(&killed), expected);
    let again = killed.json(&ingest);
    assert_eq!(again["files_new"], 0, "what the killed runs landed is known");

    // The same files, corrected.
    orders(&calm, 1);
    let replace = ["ingest", "--source", "orders", "--replace", folder.to_str().unwrap()];
    let began = Instant::now();
    assert_eq!(calm.json(&replace)["files_replaced"], 40);
    let replace_kills = kill_until_done(&killed, &replace, began.elapsed());
    assert!(replace_kills >= 3, "only {replace_kills} kills hit");
    for house in [&calm, &killed] {
        house.ok(&produce);
    }
    let corrected = answers(&calm);
    assert_ne!(corrected, expected);
    assert_eq!(answers(&killed), corrected);
}

//! kill −9 at random moments of live changes, deletions and compactions: nothing acknowledged is
//! lost, nothing is there twice, and the server answers again within five seconds.
//!
//! `TAGHOUSE_KILLS=200` kills more often than a test run wants to; `TAGHOUSE_KILL_SEED` repeats a
//! run's chance, though not its timing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod driver;
#[path = "live_crash/people.rs"]
mod people;
#[path = "live_crash/productions.rs"]
mod productions;
#[path = "live_crash/wire.rs"]
mod wire;

use driver::{House, Server};
use people::{CITIES, Dice, LABELS, People, Writer};
use productions::{Produced, produce_until_killed};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use wire::{Door, Outcome};

/// People from the lake, whose values live changes replace.
const PRODUCED: u32 = 300;
const WRITERS: u64 = 3;
/// Five seconds are promised; this is for a machine that does much else. What it took is printed.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

const DEFINITIONS: &str = r#"
kind: app
id: corner
time_zone: Europe/Berlin
---
kind: source
name: people
format: csv
files: "people*.csv"
user_id: user
time: time
attributes:
  city: { column: city, type: text }
  score: { column: score, type: int }
---
kind: source
name: labels
format: csv
files: "labels*.csv"
user_id: user
event: { column: event }
time: time
message_id: id
properties:
  label: { column: label, type: text }
---
kind: tag
name: city
type: enum
attribute: city
---
kind: tag
name: score
type: int
attribute: score
---
kind: tag
name: labels
type: set
aggregate: { function: set, value: label }
"#;

/// A folder with people produced in batch, and what they have.
fn produced() -> (House, People) {
    let house = House::new();
    let mut people = People::default();
    let (mut rows, mut labels) =
        (String::from("user,time,city,score\n"), String::from("id,user,event,time,label\n"));
    for n in 0..PRODUCED {
        let (user, city, label) =
            (format!("p{n}"), CITIES[n as usize % CITIES.len()], LABELS[n as usize % LABELS.len()]);
        writeln!(rows, "{user},2026-06-20T10:00:00,{city},{}", n % 50).unwrap();
        writeln!(labels, "{n},{user},tick,2026-06-20T10:00:00,{label}").unwrap();
        people.produced(user, city, i64::from(n % 50), label);
    }
    let definitions = house.file("shop.yaml", DEFINITIONS);
    house.ok(&["apply", "-f", definitions.to_str().unwrap()]);
    for (source, text) in [("people", rows), ("labels", labels)] {
        let file = house.file(&format!("{source}/{source}-1.csv"), text);
        house.ok(&["ingest", "--source", source, file.parent().unwrap().to_str().unwrap()]);
    }
    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
    (house, people)
}

/// Writes from several threads until the server is killed. Each writer has people of its own, so
/// that the order of its calls is that of their values; the call that the kill cut short is with
/// its writer.
fn write_until_killed(server: &mut Server, door: &Door, writers: &mut [Writer], wait: Duration) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in writers.iter_mut() {
            let (stop, door) = (&stop, door.clone());
            scope.spawn(move || while !stop.load(Ordering::Relaxed) && writer.call(&door) {});
        }
        let (stop, door) = (&stop, door.clone());
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) && door.compact() != Outcome::Unknown {
                thread::sleep(Duration::from_millis(15));
            }
        });
        thread::sleep(wait);
        server.kill();
        stop.store(true, Ordering::Relaxed);
    });
}

/// Everything that the server tells of everybody, against what was acknowledged.
fn check(door: &Door, people: &People) {
    for city in CITIES {
        assert_eq!(
            door.users(&format!("city == \"{city}\"")),
            people.with(|values| values.city.as_deref() == Some(city)),
            "{city}"
        );
    }
    for label in LABELS {
        assert_eq!(
            door.users(&format!("labels == \"{label}\"")),
            people.with(|values| values.labels.contains(label)),
            "{label}"
        );
    }
    for score in [0, 10, 25, 40] {
        let right = people.with(|values| values.score.is_some_and(|own| own >= score));
        assert_eq!(door.users(&format!("score >= {score}")), right, "score >= {score}");
    }
    let anything = door.users("city is set or score is set or labels is set");
    assert_eq!(anything, people.with(|values| !values.is_empty()));
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn killed_at_any_moment_no_live_change_is_lost_or_there_twice() {
    let (kills, seed) = (number("TAGHOUSE_KILLS", 8), number("TAGHOUSE_KILL_SEED", 1));
    let mut dice = Dice(seed);
    let (house, mut people) = produced();
    let mut writers: Vec<Writer> =
        (0..WRITERS).map(|thread| Writer::new(thread, WRITERS, &people, dice.next())).collect();
    let mut server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let (mut acknowledged, mut slowest) = (0, Duration::ZERO);
    for round in 0..kills {
        let door = Door::new(&server.base, &key);
        let wait = Duration::from_millis(30 + dice.below(700));
        write_until_killed(&mut server, &door, &mut writers, wait);
        let began = Instant::now();
        server = house.serve();
        let door = Door::new(&server.base, &key);
        door.users("city is set");
        slowest = slowest.max(began.elapsed());
        assert!(
            began.elapsed() <= ANSWERS_WITHIN,
            "round {round}: it answered again only after {:?}",
            began.elapsed()
        );
        for writer in &mut writers {
            writer.settle(&door);
            acknowledged += writer.take_acknowledged();
            people.adopt(writer.people());
        }
        check(&door, &people);
    }
    assert!(
        acknowledged >= kills,
        "only {acknowledged} calls were acknowledged: the kills came before the work"
    );
    eprintln!(
        "{kills} kills, {acknowledged} calls acknowledged, answers again after at most {slowest:?}"
    );
}

/// The same, beside productions of all tags.
fn produce_beside_changes(
    server: &mut Server,
    door: &Door,
    writers: &mut [Writer],
    wait: Duration,
) -> Produced {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (stop_it, producing) = (&stop, door.clone());
        let productions = scope.spawn(move || produce_until_killed(&producing, stop_it));
        write_until_killed(server, door, writers, wait);
        stop.store(true, Ordering::Relaxed);
        productions.join().unwrap()
    })
}

fn files_below(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
        .sum()
}

#[test]
fn killed_while_all_tags_are_produced_each_change_holds() {
    let (kills, mut dice) = (number("TAGHOUSE_KILLS", 6), Dice(number("TAGHOUSE_KILL_SEED", 2)));
    let (house, mut people) = produced();
    let mut writers: Vec<Writer> =
        (0..WRITERS).map(|thread| Writer::new(thread, WRITERS, &people, dice.next())).collect();
    let mut server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let (mut answered, mut done, mut met, mut most_files) = (0, 0, 0, 0);
    for _ in 0..kills {
        let wait = Duration::from_millis(100 + dice.below(2500));
        let door = Door::new(&server.base, &key);
        let productions = produce_beside_changes(&mut server, &door, &mut writers, wait);
        server = house.serve();
        let door = Door::new(&server.base, &key);
        for writer in &mut writers {
            writer.settle(&door);
            answered += writer.take_acknowledged();
            people.adopt(writer.people());
        }
        check(&door, &people);
        (done, met) = (done + productions.done, met + productions.met);
        // Right after the start: what the killed process left is gone.
        most_files = most_files.max(files_below(&house.data().join("objects")));
    }
    assert!(answered >= kills && done + met > 0, "only {answered} calls were answered");
    // Three tags, the users and the manifest, those before them, and what goes on now.
    assert!(most_files <= 25, "{most_files} objects after a start");
    let logs = files_below(&house.data().join("live"));
    assert!(logs <= 10, "{logs} files of live changes");
    // With nobody beside it, and twice.
    server.kill();
    for _ in 0..2 {
        house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
        let server = house.serve();
        check(&Door::new(&server.base, &key), &people);
    }
    eprintln!(
        "{kills} kills, {met} of them within a production, {done} productions done, {answered} calls answered; {most_files} objects, {logs} log files at most"
    );
}

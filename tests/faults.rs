//! What happens to a server and its data folder when the disk is full, the folder goes, or a file
//! is damaged.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "faults/damage.rs"]
mod damage;
mod driver;
#[path = "faults/shop.rs"]
mod shop;
#[path = "needs/small_disk.rs"]
mod small_disk;

use driver::{Answer, House, eventually};
use serde_json::json;
use shop::{Shop, fill, text};
use small_disk::SmallDisk;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is asked for is five seconds, on a machine with nothing else to do.
const RECOVERY: Duration = Duration::from_secs(25);

/// Takes all room that is left.
fn fill_up(file: &Path) {
    let mut filler = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    for piece in [1 << 20, 1 << 16, 1 << 12, 1 << 8] {
        while filler.write_all(&vec![7; piece]).is_ok() {}
    }
}

/// Text that does not compress.
fn noise(seed: u64, length: usize) -> String {
    let next = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    std::iter::successors(Some(seed), next)
        .map(|state| char::from(b'a' + (state >> 59) as u8 % 26))
        .take(length)
        .collect()
}

/// Calls until it is refused; the numbers of the calls that were acknowledged.
fn until_refused(what: &str, folder: &str, mut call: impl FnMut(u64) -> Answer) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    for number in 0..1000 {
        let answer = call(number);
        if answer.status < 300 {
            acknowledged.push(number);
            continue;
        }
        let said = text(&answer);
        assert!(answer.status == 503 || answer.status == 507, "{what}: {said}");
        assert!(
            said.contains(folder) && said.contains("room"),
            "{what} names the folder and the fix: {said}"
        );
        return acknowledged;
    }
    panic!("{what} is taken for ever on a full disk");
}

/// Takes SQLite's locks of its readers, each a byte of the `-shm` file, and holds them until its
/// input ends: so everybody else is kept out, and no byte of the catalog is touched. Rust's
/// libraries lock whole files only.
const KEEP_READERS_OUT: &str = "import fcntl, sys
index = open(sys.argv[1], 'r+b')
fcntl.lockf(index, fcntl.LOCK_EX, 5, 123)
print('held', flush=True)
sys.stdin.read()";

fn keep_readers_out(index: &Path) -> Child {
    let mut python = Command::new("python3");
    python.arg("-c").arg(KEEP_READERS_OUT).arg(index).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder =
        python.spawn().expect("python3 runs; it is what the tests of the API need too");
    let mut said = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said.trim(), "held");
    holder
}

#[test]
fn judgments_go_on_while_the_catalog_does_not_answer_and_say_how_old_they_are() {
    let house = House::new();
    fill(&house);
    let server = house.serve_with(&["--max-stale", "8"]);
    let key = server.admin_key.clone().unwrap();
    let judge = || server.get("/api/v1/apps/corner/judge?user=u0&crowd=others", &key);
    let before = judge().json();
    let batch = json!({"users": ["u0", "u1"], "crowds": ["others"]});
    let both = server.post("/api/v1/apps/corner/judge", &key, &batch).json()["judgments"].clone();
    let mut holder = keep_readers_out(&house.data().join("catalog.db-shm"));
    let (began, mut oldest, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    while began.elapsed() < Duration::from_secs(14) {
        let asked = Instant::now();
        let judgment = judge();
        slowest = slowest.max(asked.elapsed());
        assert_eq!(judgment.status, 200, "{}", text(&judgment));
        let judgment = judgment.json();
        assert_eq!(
            (&judgment["in_crowd"], &judgment["version"]),
            (&before["in_crowd"], &before["version"])
        );
        let answer = server.post("/api/v1/apps/corner/judge", &key, &batch);
        assert_eq!(answer.status, 200, "{}", text(&answer));
        assert_eq!(answer.json()["judgments"], both);
        let of_user = server.get("/api/v1/apps/corner/users/u0/crowds", &key);
        assert_eq!(of_user.status, 200, "{}", text(&of_user));
        let flag = "/ofrep/v1/evaluate/flags/others";
        let flag = server.post(flag, &key, &json!({"context": {"targetingKey": "u0"}}));
        assert_eq!((flag.status, &flag.json()["value"]), (200, &before["in_crowd"]));
        let age_ms = judgment["age_ms"].as_u64().unwrap();
        oldest = oldest.max(age_ms);
        // While the answers are young enough it can be asked, and then it says that it cannot.
        if !(4_000..=9_000).contains(&age_ms) {
            let ready = server.get("/readyz", &key);
            let expected = if age_ms < 4_000 { 200 } else { 503 };
            assert_eq!(ready.status, expected, "{age_ms} ms: {}", text(&ready));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(oldest > 9_000, "it must be seen that the catalog does not answer: {oldest} ms");
    assert!(slowest < Duration::from_secs(2), "a judgment waited for the catalog: {slowest:?}");
    let health = server.get("/api/v1/health", &key);
    let said = text(&health);
    assert!(
        health.status == 503 && said.contains("does not answer") && said.contains("ms ago"),
        "{said}"
    );
    drop(holder.stdin.take());
    holder.wait().unwrap();
    eventually("a catalog that answers again", || {
        let health = server.get("/api/v1/health", &key);
        let fresh = health.status == 200 && health.json()["crowds_age_ms"].as_u64()? < 3_000;
        (fresh && judge().json()["age_ms"].as_u64()? < 3_000).then_some(())
    });
    let run = server
        .post("/api/v1/apps/corner/produce", &key, &json!({"as_of": "2026-07-01T00:00"}))
        .json();
    let run = server.run_ended(run["id"].as_str().unwrap(), &key);
    assert_eq!(run["state"], "succeeded", "{run}");
    assert!(
        judge().json()["version"].as_u64() > before["version"].as_u64(),
        "what is published afterwards is judged by"
    );
}

#[test]
fn a_full_disk_is_told_and_overcome_once_it_has_room() {
    let house = House::new();
    std::fs::create_dir(house.data()).unwrap();
    let Some(_disk) =
        SmallDisk::over(&house.data(), "a_full_disk_is_told_and_overcome_once_it_has_room", "64m")
    else {
        return;
    };
    fill(&house);
    let mut shop = Shop::open(&house);
    assert_eq!(shop.event("e-before", "").status, 200);
    let folder = house.data().canonicalize().unwrap().display().to_string();
    let filler = house.data().join("filler");
    let mut bought: BTreeSet<String> = BTreeSet::from(["e-before".to_owned()]);
    // Twice, for nothing may stay behind from the first time.
    for round in 0..2 {
        let mut city = format!("before{round}");
        assert_eq!(shop.change(&city).status, 200);
        fill_up(&filler);
        let events = until_refused("an event", &folder, |n| {
            shop.event(&format!("e{round}-{n}"), &noise(n, 20_000))
        });
        bought.extend(events.iter().map(|n| format!("e{round}-{n}")));
        fill_up(&filler);
        let changes = until_refused("a change", &folder, |n| shop.change(&format!("c{round}-{n}")));
        if let Some(last) = changes.last() {
            city = format!("c{round}-{last}");
        }
        lives_in(&shop, &city);
        fill_up(&filler);
        until_refused("a key", &folder, |n| shop.key(&noise(n, 200)));
        if let Ok(run) = shop.produce() {
            assert_ne!(run["state"], "succeeded", "a production without room: {run}");
        }
        assert!(shop.users("purchases >= 1").len() >= shop::USERS as usize, "reads go on");
        std::fs::remove_file(&filler).unwrap();
        let began = Instant::now();
        let recovers = |what: &str, works: &dyn Fn() -> bool| {
            while !works() {
                assert!(
                    began.elapsed() < RECOVERY,
                    "{what} is not taken again: {}",
                    house.complaint()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        recovers("an event", &|| shop.event(&format!("e{round}-again"), "").status == 200);
        bought.insert(format!("e{round}-again"));
        recovers("a change", &|| shop.change(&format!("c{round}-again")).status == 200);
        recovers("a key", &|| shop.key("again").status < 300);
        lives_in(&shop, &format!("c{round}-again"));
        recovers("a production", &|| shop.produce().is_ok_and(|run| run["state"] == "succeeded"));
        check(&shop, &bought);
    }
    // A production puts what the lake says in the place of earlier changes: this one is behind the
    // last.
    assert_eq!(shop.change("last").status, 200);
    shop.server.kill();
    shop = shop.with(house.serve());
    lives_in(&shop, "last");
    check(&shop, &bought);
}

/// Nothing acknowledged is lost, nothing is there twice.
fn check(shop: &Shop, bought: &BTreeSet<String>) {
    let live: BTreeSet<String> = eventually("all acknowledged events in the answers", || {
        shop.produce().ok().filter(|run| run["state"] == "succeeded")?;
        let live: BTreeSet<String> = shop.users("favourite == \"live\"");
        live.is_superset(bought).then_some(live)
    });
    assert_eq!(shop.users("favourite == \"live\" && purchases == 1"), live, "each counts once");
}

/// The last change that was acknowledged holds for everybody, and none that was refused.
fn lives_in(shop: &Shop, city: &str) {
    let all = shop::USERS as usize;
    eventually("the last acknowledged change", || {
        (shop.users(&format!("city == \"{city}\"")).len() == all).then_some(())
    });
}

#[test]
fn a_data_folder_that_goes_ends_the_server_and_nothing_more_is_acknowledged() {
    let remove = |path: &Path| {
        eventually("a removed folder", || {
            (std::fs::remove_dir_all(path).is_ok() || !path.exists()).then_some(())
        })
    };
    type Way<'a> = (&'a str, &'a dyn Fn(&Path));
    let ways: [Way; 4] = [
        ("removed", &|data| remove(data)),
        ("moved away", &|data| std::fs::rename(data, data.with_extension("away")).unwrap()),
        ("without its log", &|data| remove(&data.join("log"))),
        ("with another catalog", &|data| {
            std::fs::rename(data.join("catalog.db"), data.join("catalog.away")).unwrap()
        }),
    ];
    for (way, take) in ways {
        let house = House::new();
        fill(&house);
        let mut shop = Shop::open(&house);
        assert_eq!((shop.event("ann", "").status, shop.change("here").status), (200, 200));
        let key = shop.key("before");
        assert!(key.status < 300);
        let folder = house.data().canonicalize().unwrap().display().to_string();
        take(&house.data());
        // Whoever is faster: the call that is refused, or the end.
        let refused = |answer: Option<u16>| answer.is_none_or(|status| status >= 500);
        let unharmed = way == "without its log" || way == "with another catalog";
        for number in 0..20 {
            let user = format!("late{number}");
            if way != "with another catalog" {
                assert!(refused(shop.try_event(&user)), "{way}: an event");
            }
            if !unharmed {
                assert!(refused(shop.try_change()), "{way}: a change");
            }
            if way != "without its log" {
                assert!(refused(shop.try_key()), "{way}: a key");
            }
        }
        let well = eventually("the end of a server without its folder", || shop.server.ended());
        let said = house.complaint();
        assert!(!well, "{way}: it fails");
        assert!(
            said.contains("error: ") && said.contains(&folder) && said.contains("start again"),
            "{way}: {said}"
        );
    }
}

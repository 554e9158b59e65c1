//! A data folder that cannot be written, for its file system is read-only or full: it is read all
//! the same, and whoever writes is told what to do. Needs the right to mount;
//! `TAGHOUSE_SKIP=mounts` says that these tests may be left out.
#![allow(clippy::unwrap_used, clippy::panic)]

mod driver;
#[path = "needs/mod.rs"]
mod needs;

use driver::{House, shop_definitions};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory under a house's data folder.
struct Disk {
    place: PathBuf,
}

fn mount(arguments: &[&str], place: &Path) {
    let done = Command::new("mount").args(arguments).arg(place).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "mount {arguments:?}: {said}; run the tests as root, or set TAGHOUSE_SKIP=mounts to leave them out"
    );
}

impl Disk {
    /// `None` where the environment says to leave these tests out.
    fn under(house: &House, test: &str) -> Option<Self> {
        if !needs::mounts(test) {
            return None;
        }
        let place = house.data();
        std::fs::create_dir_all(&place).unwrap();
        mount(&["-t", "tmpfs", "-o", "size=256m", "tmpfs"], &place);
        Some(Self { place })
    }

    fn read_only(&self) {
        mount(&["-o", "remount,ro"], &self.place);
    }

    fn writable(&self) {
        mount(&["-o", "remount,rw"], &self.place);
    }

    /// Takes what room there is.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.place.join("filler")).unwrap();
        for size in [1 << 20, 4096] {
            while std::io::Write::write_all(&mut filler, &vec![7; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.place.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.place).status().ok();
    }
}

fn produce(house: &House) {
    house.ok(&["apply", "-f", shop_definitions().to_str().unwrap()]);
    let rows = "id,user,event,time,sku,amount\n1,ann,purchase,2026-06-20T10:00:00,s1,60.10\n2,bob,purchase,2026-06-21T10:00:00,s2,12.50\n";
    let orders = house.file("orders-1.csv", rows);
    house.ok(&["ingest", "--source", "orders", orders.to_str().unwrap()]);
    house.ok(&["produce", "--as-of", "2026-07-01T00:00"]);
    // What is in no segment yet is read too.
    house.ok(&["change", "cid", "city", "Bonn", "--create"]);
}

const READS: [&[&str]; 13] = [
    &["count", "purchases >= 1"],
    &["count", "city == \"Bonn\""],
    &["tags", "--json"],
    &["tags", "city"],
    &["crowds", "--json"],
    &["crowds", "others"],
    &["list", "purchases >= 1"],
    &["sample", "purchases >= 1"],
    &["profile", "cid", "--json"],
    &["judge", "ann", "others"],
    &["export", "others"],
    &["top", "favourite"],
    &["runs"],
];

/// That all reads answer as before, and each write is refused with `words`.
fn check(house: &House, before: &[String], words: &str) {
    let now: Vec<String> = READS.iter().map(|arguments| house.ok(arguments)).collect();
    assert_eq!(now, before, "{words}");
    let definitions = shop_definitions();
    let writes: [&[&str]; 6] = [
        &["change", "ann", "city", "Ulm"],
        &["delete", "ann"],
        &["produce"],
        &["apply", "-f", definitions.to_str().unwrap()],
        &["keys", "create", "--role", "viewer"],
        &["serve", "--listen", "127.0.0.1:0"],
    ];
    for arguments in writes {
        let said = house.refused(arguments);
        assert!(
            said.contains(words) && said.contains(house.data().to_str().unwrap()),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_read_only_folder_is_read() {
    let house = House::new();
    let Some(disk) = Disk::under(&house, "a_read_only_folder_is_read") else { return };
    produce(&house);
    let before: Vec<String> = READS.iter().map(|arguments| house.ok(arguments)).collect();
    disk.read_only();
    check(&house, &before, "mount its disk for writing");
    disk.writable();

    // What a killed server left: a write-ahead log, and a lock file that names it.
    let mut server = house.serve();
    let key = server.admin_key.clone().unwrap();
    let changes = serde_json::json!({"create": true, "changes": [{"user": "dot", "tag": "city", "set": "Bonn"}]});
    assert_eq!(server.post("/api/v1/apps/corner/changes", &key, &changes).status, 200);
    server.kill();
    assert!(
        std::fs::metadata(house.data().join("catalog.db-wal")).unwrap().len() > 0,
        "the case is there"
    );
    disk.read_only();
    assert_eq!(house.count("city == \"Bonn\""), 2);
    assert!(house.ok(&["keys"]).contains("admin"), "what stands in the write-ahead log only");
    disk.writable();
    house.ok(&["change", "ann", "city", "Bonn"]);
    assert_eq!(house.count("city == \"Bonn\""), 3);
}

#[test]
fn a_full_disk_is_read() {
    let house = House::new();
    let Some(disk) = Disk::under(&house, "a_full_disk_is_read") else { return };
    produce(&house);
    let before: Vec<String> = READS.iter().map(|arguments| house.ok(arguments)).collect();
    disk.fill();
    check(&house, &before, "make room on its disk");
    disk.empty();
    house.ok(&["change", "ann", "city", "Bonn"]);
    assert_eq!(house.count("city == \"Bonn\""), 2);
}

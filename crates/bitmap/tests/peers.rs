//! Other people's libraries open what we export: pyroaring, and ClickHouse (chdb) as the state of
//! groupBitmap.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/needs/mod.rs"]
mod needs;

use serde_json::{Value as Json, json};
use std::path::Path;
use std::process::Command;
use taghouse_bitmap::Bitmap;

/// Asked of every bitmap, whether it is in it: around the ends of words, arrays, containers, shards
/// and of the type.
const PROBES: [u32; 16] = [
    0,
    1,
    5,
    63,
    64,
    4_095,
    4_096,
    65_535,
    65_536,
    70_000,
    (1 << 20) - 1,
    1 << 20,
    3_000_000,
    i32::MAX as u32,
    u32::MAX - 1,
    u32::MAX,
];

fn bitmaps() -> Vec<(&'static str, Bitmap)> {
    vec![
        ("empty", Bitmap::new()),
        ("one", Bitmap::from_sorted(&[7])),
        ("sparse", Bitmap::from_sorted(&[0, 5, 64, 70_000, 1 << 20, i32::MAX as u32, u32::MAX])),
        ("runs", Bitmap::from_range(10..=3_000_000)),
        // Bitset containers, and beside them an array of the most values there may be.
        ("dense", (0..200_000).map(|n| n * 3).chain((700_000..704_096).map(|n| n * 2)).collect()),
        (
            "full container and last ordinals",
            Bitmap::from_range(65_536..=131_071).or(&Bitmap::from_range(u32::MAX - 9..=u32::MAX)),
        ),
        ("mixed", (0..2_000).map(|n| n * 90_001).chain(5_000_000..5_100_000).collect()),
    ]
}

/// What a reader must find.
fn description(file: &str, engine: &str, bitmap: &Bitmap) -> Json {
    let sum: u128 = bitmap.iter().map(u128::from).sum();
    let has: Vec<bool> =
        PROBES.iter().map(|probe| bitmap.iter().any(|ordinal| ordinal == *probe)).collect();
    let (least, greatest) = (bitmap.iter().next(), bitmap.iter().last());
    json!({"file": file, "engine": engine, "count": bitmap.iter().count(), "sum": sum.to_string(), "min": least, "max": greatest, "has": has})
}

#[test]
fn others_read_what_we_export() {
    let Some(python) = needs::peers("others_read_what_we_export") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut expected) = (Vec::new(), Vec::new());
    for (name, bitmap) in bitmaps() {
        for (ending, bytes) in
            [("roaring", bitmap.serialize_portable()), ("roaring64", bitmap.serialize_portable64())]
        {
            let file = format!("{name}.{ending}");
            std::fs::write(folder.path().join(&file), bytes).unwrap();
            expected.extend(
                ["pyroaring", "clickhouse"].map(|engine| description(&file, engine, &bitmap)),
            );
            files.push(folder.path().join(file));
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/readers/read_bitmaps.py");
    let probes = PROBES.map(|probe| probe.to_string()).join(",");
    let output =
        Command::new(python).arg(script).args(["--has", &probes]).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<Json> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(found, expected);
}

/// This test binary once more, without the interpreter.
#[test]
fn a_missing_peer_is_no_pass_unless_it_is_said_to_be_skipped() {
    let run = |skip: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "others_read_what_we_export"])
            .env_remove("TAGHOUSE_PEERS_PYTHON")
            .env("TAGHOUSE_SKIP", skip);
        let output = command.output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap(),
        )
    };
    for skip in ["", "retail", "peersx"] {
        let (passed, said) = run(skip);
        assert!(!passed && said.contains("make test"), "TAGHOUSE_SKIP={skip}: {said}");
    }
    let (passed, said) = run("retail, peers");
    assert!(passed && said.contains("SKIPPED others_read_what_we_export"), "{said}");
}

//! Other people's libraries open what we export: pyroaring, and ClickHouse (chdb) as the state of groupBitmap.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value as Json, json};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use taghouse_bitmap::Bitmap;

/// Asked of every bitmap, whether it is in it: around the ends of words, arrays, containers, shards and of the type.
const PROBES: [u32; 16] =
    [0, 1, 5, 63, 64, 4_095, 4_096, 65_535, 65_536, 70_000, (1 << 20) - 1, 1 << 20, 3_000_000, i32::MAX as u32, u32::MAX - 1, u32::MAX];

fn bitmaps() -> Vec<(&'static str, Bitmap)> {
    vec![
        ("empty", Bitmap::new()),
        ("one", Bitmap::from_sorted(&[7])),
        ("sparse", Bitmap::from_sorted(&[0, 5, 64, 70_000, 1 << 20, i32::MAX as u32, u32::MAX])),
        ("runs", Bitmap::from_range(10..=3_000_000)),
        // Bitset containers, and beside them an array of the most values there may be.
        ("dense", (0..200_000).map(|n| n * 3).chain((700_000..704_096).map(|n| n * 2)).collect()),
        ("full container and last ordinals", Bitmap::from_range(65_536..=131_071).or(&Bitmap::from_range(u32::MAX - 9..=u32::MAX))),
        ("mixed", (0..2_000).map(|n| n * 90_001).chain(5_000_000..5_100_000).collect()),
    ]
}

/// What a reader must find.
fn description(file: &str, engine: &str, bitmap: &Bitmap) -> Json {
    let sum: u128 = bitmap.iter().map(u128::from).sum();
    let has: Vec<bool> = PROBES.iter().map(|probe| bitmap.iter().any(|ordinal| ordinal == *probe)).collect();
    let (least, greatest) = (bitmap.iter().next(), bitmap.iter().last());
    json!({"file": file, "engine": engine, "count": bitmap.iter().count(), "sum": sum.to_string(), "min": least, "max": greatest, "has": has})
}

#[test]
fn others_read_what_we_export() {
    let Ok(python) = std::env::var("TAGHOUSE_PEERS_PYTHON") else {
        // Not a macro: those are swallowed where a test passes.
        let note =
            "SKIPPED others_read_what_we_export: TAGHOUSE_PEERS_PYTHON names no interpreter with pyroaring and chdb: run `make test`";
        writeln!(std::io::stderr(), "{note}").unwrap();
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut expected) = (Vec::new(), Vec::new());
    for (name, bitmap) in bitmaps() {
        for (ending, bytes) in [("roaring", bitmap.serialize_portable()), ("roaring64", bitmap.serialize_portable64())] {
            let file = format!("{name}.{ending}");
            std::fs::write(folder.path().join(&file), bytes).unwrap();
            expected.extend(["pyroaring", "clickhouse"].map(|engine| description(&file, engine, &bitmap)));
            files.push(folder.path().join(file));
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/readers/read_bitmaps.py");
    let probes = PROBES.map(|probe| probe.to_string()).join(",");
    let output = Command::new(python).arg(script).args(["--has", &probes]).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<Json> = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found, expected);
}

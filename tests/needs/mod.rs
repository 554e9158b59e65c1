//! What tests need from outside, and `make test` provides. Where it is missing a test fails: only
//! what `TAGHOUSE_SKIP` names, such as `TAGHOUSE_SKIP=peers`, is passed over. Several test binaries
//! take this file by its path.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test binaries")]
#![allow(
    clippy::explicit_write,
    reason = "the harness swallows what macros print where a test passes"
)]

use std::io::Write;
use std::path::{Path, PathBuf};

/// The interpreter with other people's libraries, against which ours are held. `None`: whoever runs
/// the tests said to skip them.
pub fn peers(test: &str) -> Option<String> {
    match std::env::var("TAGHOUSE_PEERS_PYTHON") {
        Ok(python) => Some(python),
        Err(_) if skips("peers") => {
            writeln!(std::io::stderr(), "SKIPPED {test}: TAGHOUSE_SKIP names peers").unwrap();
            None
        }
        Err(_) => panic!(
            "TAGHOUSE_PEERS_PYTHON names no interpreter: run `make test`, which makes one by scripts/peers.sh, or set TAGHOUSE_SKIP=peers"
        ),
    }
}

/// Whether the databases that scripts/redis.sh and scripts/postgres.sh start are to be used; not where whoever
/// runs the tests said to skip them.
pub fn databases(test: &str) -> bool {
    let skipped = skips("databases");
    if skipped {
        writeln!(std::io::stderr(), "SKIPPED {test}: TAGHOUSE_SKIP names databases").unwrap();
    }
    !skipped
}

/// The folder with Segment's libraries for Node and browsers, and what drives a browser. `None`:
/// whoever runs the tests said to skip them.
pub fn sdks(test: &str) -> Option<PathBuf> {
    if skips("sdks") {
        writeln!(std::io::stderr(), "SKIPPED {test}: TAGHOUSE_SKIP names sdks").unwrap();
        return None;
    }
    let folder = std::env::var("TAGHOUSE_SDKS").unwrap_or_default();
    let there = Path::new(&folder).join("node_modules").is_dir();
    assert!(
        there,
        "TAGHOUSE_SDKS names no folder of packages: run `make test`, which fills one by scripts/sdks.sh, or set TAGHOUSE_SKIP=sdks"
    );
    Some(folder.into())
}

/// The folder with a client of ours, `python` or `typescript`, as it was packed, and its tests.
/// `None`: whoever runs the tests said to skip them.
pub fn client(test: &str, name: &str) -> Option<PathBuf> {
    if skips("clients") {
        writeln!(std::io::stderr(), "SKIPPED {test}: TAGHOUSE_SKIP names clients").unwrap();
        return None;
    }
    let variable = format!("TAGHOUSE_{}_CLIENT", name.to_uppercase());
    let folder = PathBuf::from(std::env::var_os(&variable).unwrap_or_default());
    assert!(
        folder.join(".built").is_file(),
        "{variable} names no folder of a client: run `make test`, which builds it by scripts/clients.sh {name}, or set TAGHOUSE_SKIP=clients"
    );
    Some(folder)
}

/// The interpreter with a client of Kafka's; a broker comes from `scripts/kafka.sh`. `None`: whoever
/// runs the tests said to skip those that need one.
pub fn kafka(test: &str) -> Option<PathBuf> {
    if skips("kafka") {
        writeln!(std::io::stderr(), "SKIPPED {test}: TAGHOUSE_SKIP names kafka").unwrap();
        return None;
    }
    match std::env::var_os("TAGHOUSE_KAFKA_PYTHON") {
        Some(python) => Some(python.into()),
        None => panic!(
            "TAGHOUSE_KAFKA_PYTHON names no interpreter: run `make test`, which makes one and fetches a broker by scripts/kafka.sh, or set TAGHOUSE_SKIP=kafka"
        ),
    }
}

/// A browser: `TAGHOUSE_CHROMIUM`, else Debian's.
pub fn chromium() -> PathBuf {
    std::env::var_os("TAGHOUSE_CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into()).into()
}

/// Whether this test may mount a file system: it must, unless whoever runs the tests said to skip
/// those.
pub fn mounts(test: &str) -> bool {
    if skips("mounts") {
        writeln!(std::io::stderr(), "SKIPPED {test}: TAGHOUSE_SKIP names mounts").unwrap();
        return false;
    }
    true
}

fn skips(what: &str) -> bool {
    std::env::var("TAGHOUSE_SKIP")
        .is_ok_and(|named| named.split(',').any(|name| name.trim() == what))
}

/// Real invoice lines, and what is known of them.
pub struct Retail {
    /// One gzipped CSV file a day or a month.
    pub folder: PathBuf,
    pub known: &'static Known,
}

/// What was counted by other means: of the whole by its publishers and by SQL, of the slice by a
/// script that shares no code with this.
pub struct Known {
    pub files: u64,
    pub lines: u64,
    pub purchases: u64,
    pub refunds: u64,
    pub without_user: u64,
    pub users: u64,
    /// What examples/online-retail/verify.sh prints as of 2011-12-10T00:00, after the numbers
    /// above.
    pub answers: [(&'static str, &'static str); 8],
}

const UNITED_KINGDOM: &str =
    r#"country == "United Kingdom" && orders_30d >= 2 && !(refunds_90d >= 1)"#;
const WORTH_A_CALL: &str =
    r#"(country in ("Germany","France") || spend_365d >= 5000) && !(orders_30d >= 1)"#;

const WHOLE: Known = Known {
    files: 305,
    lines: 541_909,
    purchases: 397_924,
    refunds: 8_905,
    without_user: 135_080,
    users: 4_372,
    answers: [
        ("orders_30d >= 1", "1629"),
        ("orders_30d >= 2", "538"),
        ("spend_365d users", "4265"),
        ("spend_365d total", "8599529.9040"),
        ("spend_365d >= 5000", "265"),
        ("refunds_90d >= 1", "759"),
        (UNITED_KINGDOM, "273"),
        (WORTH_A_CALL, "138"),
    ],
};

const SLICE: Known = Known {
    files: 13,
    lines: 55_219,
    purchases: 48_345,
    refunds: 1_237,
    without_user: 5_637,
    users: 620,
    answers: [
        ("orders_30d >= 1", "236"),
        ("orders_30d >= 2", "82"),
        ("spend_365d users", "605"),
        ("spend_365d total", "1153890.7820"),
        ("spend_365d >= 5000", "40"),
        ("refunds_90d >= 1", "125"),
        (UNITED_KINGDOM, "35"),
        (WORTH_A_CALL, "16"),
    ],
};

/// All the files where `TAGHOUSE_RETAIL` names their folder; else the slice of them that is in the
/// repository.
pub fn retail() -> Retail {
    match std::env::var_os("TAGHOUSE_RETAIL").map(PathBuf::from) {
        Some(folder) => {
            assert!(folder.is_dir(), "TAGHOUSE_RETAIL names no folder: {}", folder.display());
            Retail { folder, known: &WHOLE }
        }
        None => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../tests/retail/slice")
                .canonicalize()
                .unwrap();
            Retail { folder, known: &SLICE }
        }
    }
}

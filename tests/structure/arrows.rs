//! Rule: a crate depends on crates of lower levels only.

use super::RepositoryFile;

/// The map: every crate and its level.
pub(crate) const LEVELS: [(&str, u32); 29] = [
    ("disk", 0),
    ("model", 0),
    ("bitmap", 1),
    ("catalog", 1),
    ("journal", 1),
    ("proto", 1),
    ("rules", 1),
    ("wire", 1),
    ("dictionary", 2),
    ("feed", 2),
    ("fold", 2),
    ("lake", 2),
    ("log", 2),
    ("schedule", 2),
    ("identities", 3),
    ("index", 3),
    ("sink", 3),
    ("crowd", 4),
    ("ingest", 4),
    ("produce", 4),
    ("activate", 5),
    ("users", 5),
    ("backup", 6),
    ("kafka", 6),
    ("stream", 6),
    ("webhook", 6),
    ("engine", 7),
    ("api", 8),
    ("taghouse", 9),
];

/// Above all crates: they measure them and try them out.
const BENCHES: [(&str, u32); 2] = [("bench", 10), ("soak", 10)];

/// For development: crates of any level may name it under `[dev-dependencies]`, and nowhere else.
/// It is above the crates whose test doubles it has.
const TESTKIT: (&str, u32) = ("testkit", 4);

fn level(package: &str) -> Option<u32> {
    LEVELS
        .iter()
        .chain(&BENCHES)
        .chain([&TESTKIT])
        .find(|(name, _)| *name == package)
        .map(|(_, level)| *level)
}

/// The crates that a manifest's dependencies name, for tests and builds too, each with its line;
/// the test kit only where it must not stand.
fn packages_named(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut in_dependencies, mut in_development) = (false, false);
    for (line, text) in
        manifest.lines().map(|text| text.split('#').next().unwrap_or(text)).enumerate()
    {
        if text.trim_start().starts_with('[') {
            in_dependencies = text.contains("dependencies");
            in_development = text.contains("dev-dependencies");
        }
        for (at, prefix) in text.match_indices("taghouse-").filter(|_| in_dependencies) {
            let name = text[at + prefix.len()..]
                .split(|c: char| !c.is_ascii_alphanumeric())
                .next()
                .unwrap_or_default();
            if in_development && name == TESTKIT.0 {
                continue;
            }
            if found.last() != Some(&(line + 1, name.to_owned())) {
                found.push((line + 1, name.to_owned()));
            }
        }
    }
    found
}

/// The crate of a manifest, by its package name.
fn package(manifest: &str) -> Option<String> {
    let name =
        manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))?;
    Some(name.strip_prefix("taghouse-").unwrap_or(name).to_owned())
}

pub(crate) fn findings(manifests: &[RepositoryFile]) -> Vec<String> {
    let mut findings = Vec::new();
    for RepositoryFile { path, text } in manifests {
        let package = package(text).unwrap_or_default();
        let Some(own) = level(&package) else {
            findings.push(format!(
                "{path}: crate \"{package}\" is not on the map of levels in tests/structure/arrows.rs"
            ));
            continue;
        };
        if path.starts_with("crates/") && *path != format!("crates/{package}/Cargo.toml") {
            findings
                .push(format!("{path}: the package is called \"{package}\", its folder is not"));
        }
        for (line, other) in packages_named(text) {
            match level(&other) {
                None => findings.push(format!("{path}:{line}: no crate is called \"{other}\"")),
                Some(level) if level >= own => {
                    let way = if level == own { "sideways" } else { "up" };
                    findings.push(format!("{path}:{line}: {package} (level {own}) points {way} to {other} (level {level})"));
                }
                Some(_) => (),
            }
        }
    }
    findings
}

#[test]
fn wrong_arrows_are_found() {
    let check = |path: &str, name: &str, dependencies: &str| {
        let text = format!("[package]\nname = \"{name}\"\n{dependencies}\n");
        findings(&[RepositoryFile { path: path.into(), text }]).len()
    };
    let cases = [
        ("[dependencies]\ntaghouse-model = { workspace = true }", 0),
        ("[dependencies]\ntaghouse-lake = { workspace = true } # down\n# taghouse-api", 0),
        ("description = \"below taghouse-api\"\n[dependencies]\nserde = \"1\"", 0),
        ("[dependencies]\ntaghouse-api = { workspace = true }", 1),
        ("[dependencies]\ntaghouse-index = { path = \"../index\" }", 1),
        ("[dev-dependencies]\ntaghouse-crowd = { workspace = true }", 1),
        ("[dev-dependencies]\ntaghouse-testkit = { workspace = true }", 0),
        ("[dependencies]\ntaghouse-testkit = { workspace = true }", 1),
        ("[build-dependencies.taghouse-crowd]\nworkspace = true", 1),
        (
            "[target.'cfg(unix)'.dependencies]\nx = { package = \"taghouse-produce\", path = \"../produce\" }",
            1,
        ),
        ("[dependencies]\ntaghouse-attic = { workspace = true }", 1),
    ];
    for (dependencies, expected) in cases {
        assert_eq!(
            check("crates/index/Cargo.toml", "taghouse-index", dependencies),
            expected,
            "{dependencies}"
        );
    }
    assert_eq!(
        check("crates/attic/Cargo.toml", "taghouse-attic", ""),
        1,
        "a crate that is not on the map"
    );
    assert_eq!(
        check("crates/cellar/Cargo.toml", "taghouse-index", ""),
        1,
        "a folder of another name"
    );
    assert_eq!(
        check("crates/crowd/Cargo.toml", "taghouse-crowd", "[dependencies]\ntaghouse-ingest = {}"),
        1,
        "a neighbour"
    );
}

//! What `make dist` packs, with a stand-in for the program that is quick to pack: what is in the
//! archive, that it is the same each time, and that the unit of systemd says what it must.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Packs into the folder; gives the archive's path.
fn pack(folder: &Path, program: &Path) -> PathBuf {
    let output = Command::new(repository().join("scripts/dist.sh"))
        .env("TAGHOUSE", program)
        .env("DIST", folder)
        .env("TAGHOUSE_QUERY_SECONDS", "7")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// The names below the archive's one folder, with content, mode and the rest of what stands in the
/// header: owner, group, time.
fn entries(archive: &Path) -> BTreeMap<String, (Vec<u8>, String)> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(archive).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    let mut found = BTreeMap::new();
    let mut rest = bytes.as_slice();
    let text = |field: &[u8]| String::from_utf8_lossy(field).trim_matches(['\0', ' ']).to_owned();
    while rest.len() > 512 && rest[0] != 0 {
        let (header, content) = rest.split_at(512);
        let length = usize::from_str_radix(&text(&header[124..136]), 8).unwrap();
        let name = text(&header[..100]);
        let below = name.split_once('/').unwrap().1.to_owned();
        let head = [&header[100..108], &header[108..116], &header[116..124]].map(text).join(" ");
        found.insert(below, (content[..length].to_vec(), head));
        rest = &content[length.next_multiple_of(512)..];
    }
    found
}

#[test]
fn the_archive_holds_all_that_is_installed_and_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::write(
        &program,
        format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_taghouse")),
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let first = pack(&folder.path().join("first"), &program);
    let second = pack(&folder.path().join("second"), &program);
    assert!(
        std::fs::read(&first).unwrap() == std::fs::read(second).unwrap(),
        "two archives of one program differ"
    );
    let name = first.file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with(concat!("taghouse-", env!("CARGO_PKG_VERSION"), "-"))
            && name.ends_with(".tar.gz"),
        "{name}"
    );
    let checked = Command::new("sha256sum")
        .args(["--check", &format!("{name}.sha256")])
        .current_dir(first.parent().unwrap())
        .output()
        .unwrap();
    assert!(checked.status.success());

    let entries = entries(&first);
    for (name, expected) in [
        ("bin/taghouse", "#!/bin/sh"),
        ("share/taghouse/taghouse.schema.json", "\"$schema\""),
        ("share/bash-completion/completions/taghouse", "--as-of"),
        ("share/zsh/site-functions/_taghouse", "#compdef taghouse"),
        ("share/fish/vendor_completions.d/taghouse.fish", "complete -c taghouse"),
        ("share/man/man1/taghouse.1", "taghouse"),
        ("share/man/man1/taghouse-serve.1", "TAGHOUSE_QUESTIONS_PER_KEY"),
        ("share/man/man1/taghouse-keys-create.1", "role"),
        ("etc/taghouse/taghouse.toml", "# query_seconds = 300"),
        ("lib/systemd/system/taghouse.service", "ExecStart="),
        ("LICENSE", "Apache License"),
        ("README.md", "# Taghouse"),
    ] {
        let (content, head) =
            entries.get(name).unwrap_or_else(|| panic!("{name} is not in the archive"));
        assert!(String::from_utf8_lossy(content).contains(expected), "{name}");
        let mode = if name.starts_with("bin/") { "0000755" } else { "0000644" };
        assert_eq!(head, &format!("{mode} 0000000 0000000"), "{name}: mode, owner, group");
    }
}

#[test]
fn the_unit_gives_the_server_time_to_end_and_little_else() {
    let unit = std::fs::read_to_string(repository().join("packaging/taghouse.service")).unwrap();
    let value = |name: &str| {
        unit.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("no {name}"))
    };
    // The server ends within ten seconds of being told to.
    assert!(value("TimeoutStopSec").parse::<u32>().unwrap() > 15);
    assert!(value("LimitNOFILE").parse::<u32>().unwrap() >= 20_000);
    for (name, expected) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("StateDirectory", "taghouse"),
        ("DynamicUser", "yes"),
    ] {
        assert_eq!(value(name), expected);
    }
}

//! Damage to any file is an error that names it, never a panic or a wrong answer.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use taghouse_dictionary::{Dictionary, Error, Options};
use taghouse_model::{AppId, ErrorKind, Ordinal};

/// All that the dictionary answers.
type Answers = (Vec<Option<Ordinal>>, Vec<Option<String>>);

fn shop() -> AppId {
    AppId::new("shop").unwrap()
}

/// UUIDs alone in the first files, all sizes mixed in the others.
fn ids() -> Vec<String> {
    let uuids = (0..100).map(|n| format!("{n:08x}-0000-4000-8000-000000000000"));
    let mixed = (0..165).map(|n| match n % 4 {
        0 => format!("{n:08x}-0000-4000-8000-000000000001"),
        1 => format!("{n}"),
        2 => format!("user {n} {}", "x".repeat(n)),
        _ => format!("{n:06x}ff"),
    });
    uuids.chain(mixed).collect()
}

fn open(folder: &Path) -> Result<Dictionary, Error> {
    Dictionary::open_with(folder, Options { seal_ids: 50, ..Options::default() })
}

/// Five ids files, some runs, deletions before and after the last seal, a tail of several frames.
fn make(folder: &Path) {
    let dictionary = open(folder).unwrap();
    for (number, ids) in ids().chunks(25).enumerate() {
        dictionary.assign(&shop(), &ids.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        if number == 5 || number == 10 {
            dictionary.delete(&shop(), &[3, 130]).unwrap();
            dictionary.delete(&shop(), &[4 + number as u32]).unwrap();
        }
    }
}

fn ask(folder: &Path) -> Result<Answers, Error> {
    let (dictionary, ids) = (open(folder)?, ids());
    let found = dictionary.lookup(&shop(), &ids.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok((found, dictionary.resolve(&shop(), &(0..ids.len() as u32).collect::<Vec<_>>())?))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).filter(|path| !path.ends_with("LOCK")).collect()
}

fn is(file: &Path, kind: &str) -> bool {
    file.file_name().unwrap().to_str().unwrap().starts_with(kind)
}

fn names(outcome: Result<Answers, Error>, file: &Path, what: &str) {
    let error = outcome.err().unwrap_or_else(|| panic!("{what} of {} is not seen", file.display()));
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    match &error {
        Error::Corrupt { path, .. } => assert_eq!(path, file, "{what}: {error}"),
        Error::OldForm { .. } => assert!(is(file, "FORM"), "{what}: {error}"),
        _ => panic!("{error}"),
    }
}

fn check_all(check: impl Fn(&Path, &Path, &[u8], &Answers)) {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let whole = ask(folder.path()).unwrap();
    assert_eq!(whole.0.iter().filter(|ordinal| ordinal.is_none()).count(), 4, "those deleted");
    let all = files(folder.path());
    for kind in ["ids", "run", "deleted", "tail", "manifest", "FORM"] {
        assert!(all.iter().any(|file| is(file, kind)), "no {kind}");
    }
    for file in all {
        let bytes = fs::read(&file).unwrap();
        check(folder.path(), &file, &bytes, &whole);
        fs::write(&file, &bytes).unwrap();
        assert_eq!(ask(folder.path()).unwrap(), whole);
    }
}

#[test]
fn flipped_bits() {
    check_all(|folder, file, bytes, _| {
        for at in (0..bytes.len()).step_by((bytes.len() / 80).max(1)) {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << (at % 8);
            fs::write(file, flipped).unwrap();
            names(ask(folder), file, &format!("a flipped bit in byte {at}"));
        }
    });
}

#[test]
fn short_files() {
    check_all(|folder, file, bytes, whole| {
        for length in [0, 1, 15, bytes.len() / 2, bytes.len() - 17, bytes.len() - 1].into_iter().filter(|length| *length < bytes.len()) {
            fs::write(file, &bytes[..length]).unwrap();
            match ask(folder) {
                // The end of the log may be torn: what is before it is all there.
                Ok((found, ids)) if is(file, "tail") && length >= 16 => {
                    let end = found.iter().rposition(Option::is_some).unwrap() + 1;
                    assert!(ids[..end].iter().zip(&whole.1).all(|(id, before)| before.is_none() || id == before));
                    assert_ne!((&found, &ids), (&whole.0, &whole.1), "something is lost");
                }
                outcome => names(outcome, file, &format!("shortening to {length} bytes")),
            }
        }
    });
}

#[test]
fn missing_files() {
    check_all(|folder, file, _, whole| {
        fs::remove_file(file).unwrap();
        if is(file, "run") {
            assert_eq!(&ask(folder).unwrap(), whole, "it is made anew");
            assert!(file.exists());
        } else {
            names(ask(folder), file, "the loss");
        }
    });
}

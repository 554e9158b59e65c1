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
    let all = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    all.filter(|path| {
        !path.ends_with("LOCK") && path.extension().is_none_or(|ending| ending != "mark")
    })
    .collect()
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
    check_all(|folder, file, bytes, _| {
        for length in [0, 1, 15, bytes.len() / 2, bytes.len() - 17, bytes.len() - 1]
            .into_iter()
            .filter(|length| *length < bytes.len())
        {
            fs::write(file, &bytes[..length]).unwrap();
            names(ask(folder), file, &format!("shortening to {length} bytes"));
        }
    });
}

#[test]
fn missing_files() {
    check_all(|folder, file, _, whole| {
        fs::remove_file(file).unwrap();
        if is(file, "run") {
            assert_eq!(&ask(folder).unwrap(), whole, "it is made again");
            assert!(file.exists());
        } else {
            names(ask(folder), file, "the loss");
        }
    });
}

#[test]
fn the_end_of_a_log_is_cut_off_only_if_nobody_was_told_of_it() {
    check_all(|folder, file, bytes, whole| {
        if !is(file, "tail") {
            return;
        }
        let mark = file.with_extension("mark");
        let noted = fs::read(&mark).unwrap();
        // What is torn behind the acknowledged, and a mark that was damaged itself.
        fs::write(file, [bytes, b"THF1 torn"].concat()).unwrap();
        assert_eq!(&ask(folder).unwrap(), whole);
        assert_eq!(fs::read(file).unwrap(), bytes);
        for damaged in [noted[..noted.len() / 2].to_vec(), vec![1; noted.len()], Vec::new()] {
            fs::write(&mark, damaged).unwrap();
            assert_eq!(&ask(folder).unwrap(), whole);
        }
        // Without a mark a torn end cannot be told from a lost one.
        fs::remove_file(&mark).unwrap();
        fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
        let (found, ids) = ask(folder).unwrap();
        let end = found.iter().rposition(Option::is_some).unwrap() + 1;
        assert!(
            ids[..end].iter().zip(&whole.1).all(|(id, before)| before.is_none() || id == before)
        );
        assert_ne!((&found, &ids), (&whole.0, &whole.1), "something is lost");
    });
}

#[test]
fn nothing_is_acknowledged_into_a_folder_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dictionary");
    let dictionary = Dictionary::open(&path).unwrap();
    dictionary.assign(&shop(), &["a"]).unwrap();
    fs::remove_dir_all(&path).unwrap();
    for id in ["b", "c"] {
        let error = dictionary.assign(&shop(), &[id]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(
            error.to_string().contains("tail-1") && error.to_string().contains("deleted"),
            "{error}"
        );
    }
    assert_eq!(dictionary.lookup(&shop(), &["a", "b"]).unwrap(), [Some(0), None]);
}

#[test]
fn a_failed_sync_is_overcome_and_a_loss_of_power_takes_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let rehearsal = taghouse_disk::rehearsal::Rehearsal::of(&root).unwrap();
    let dictionary = open(&root.join("dictionary")).unwrap();
    let ids = ids();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    // Every kind of sync fails once with every file that it meets, the ordinals are asked for
    // again, and so on until all are given.
    let failing = ["tail", "ids", "run", "deleted", "manifest", "generation-1", "shop"];
    let (mut failures, mut deleted) = (0, Vec::new());
    for (number, part) in ids.chunks(10).enumerate() {
        let kind = failing[number % failing.len()];
        rehearsal
            .fail_when(move |path| path.file_name().unwrap().to_str().unwrap().starts_with(kind));
        let first = dictionary.assign(&shop(), part);
        if number % 3 == 0 && dictionary.delete(&shop(), &[number as u32]).is_err() {
            failures += 1;
        }
        rehearsal.fail_no_more();
        failures += u32::from(first.is_err());
        let again = dictionary.assign(&shop(), part).unwrap();
        first.iter().for_each(|first| assert_eq!(first, &again, "an acknowledged ordinal stays"));
        if number % 3 == 0 {
            dictionary.delete(&shop(), &[number as u32]).unwrap();
            deleted.push(number as u32);
        }
    }
    assert!(failures >= 7, "{failures} only");
    let answers = |dictionary: &Dictionary| {
        let ordinals: Vec<Ordinal> = (0..dictionary.len(&shop())).collect();
        (dictionary.lookup(&shop(), &ids).unwrap(), dictionary.resolve(&shop(), &ordinals).unwrap())
    };
    let whole = answers(&dictionary);
    assert!(deleted.iter().all(|ordinal| whole.1[*ordinal as usize].is_none()));
    assert!(whole.0.iter().flatten().count() == ids.len() - deleted.len());
    drop(dictionary);
    rehearsal.lose_power().unwrap();
    assert!(answers(&open(&root.join("dictionary")).unwrap()) == whole, "something is lost");
}

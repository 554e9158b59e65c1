//! Single calls: what is refused, threads, streams over many steps.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/needs/copy_folder.rs"]
mod copy_folder;

use copy_folder::copy_folder;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use taghouse_dictionary::{Dictionary, Error, Options};
use taghouse_model::{AppId, ErrorKind};

fn shop() -> AppId {
    AppId::new("shop").unwrap()
}

#[test]
fn a_bad_id_refuses_the_whole_call() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary = Dictionary::open(folder.path()).unwrap();
    for bad in [String::new(), "x".repeat(513)] {
        let error = dictionary.assign(&shop(), &["good", &bad]).unwrap_err();
        assert!(matches!(error, Error::UserId { position: 1, .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(dictionary.lookup(&shop(), &["good", &bad]).unwrap(), [None, None]);
    }
    assert_eq!(dictionary.len(&shop()), 0);
    assert_eq!(dictionary.assign(&shop(), &[]).unwrap(), Vec::<u32>::new());
}

#[test]
fn a_second_opening_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deeper/dictionary");
    let first = Dictionary::open(&path).unwrap();
    let error = Dictionary::open(&path).err().unwrap();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    drop(first);
    Dictionary::open(&path).unwrap();
}

#[test]
fn a_creation_cut_off_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("LOCK"), b"").unwrap();
    fs::write(folder.path().join("FORM.unfinished"), b"tagh").unwrap();
    Dictionary::open(folder.path()).unwrap();
    let app = folder.path().join("shop/generation-1");
    fs::create_dir_all(&app).unwrap();
    fs::write(app.join("tail-1"), b"half").unwrap();
    let dictionary = Dictionary::open(folder.path()).unwrap();
    assert_eq!((dictionary.generation(&shop()), app.exists()), (0, false));
    assert_eq!(dictionary.assign(&shop(), &["a"]).unwrap(), [0]);
}

#[test]
fn another_form_is_refused() {
    for (name, text) in [("version", "3"), ("0.jnl", ""), ("FORM", "taghouse dictionary 2\n")] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let error = Dictionary::open(folder.path()).err().unwrap();
        assert!(matches!(error, Error::OldForm { .. }), "{name}: {error}");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn no_more_than_fit() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary =
        Dictionary::open_with(folder.path(), Options { most_ids: 4, ..Options::default() })
            .unwrap();
    dictionary.assign(&shop(), &["a", "b"]).unwrap();
    let error = dictionary.assign(&shop(), &["c", "d", "e", "c"]).unwrap_err();
    assert!(matches!(error, Error::Full { new: 3, most: 4, .. }), "{error}");
    assert_eq!((error.kind(), dictionary.len(&shop())), (ErrorKind::Invalid, 2));
    assert_eq!(
        dictionary.assign(&shop(), &["c", "d", "c", "d", "a"]).unwrap(),
        [2, 3, 2, 3, 0],
        "those fit"
    );
    assert!(dictionary.assign(&shop(), &["e"]).is_err());
}

#[test]
fn deleted_text_is_in_no_file_after_a_purge() {
    let secret = "someone@example.org";
    for (seal_ids, others) in [(1000, 10), (4, 10), (4, 3)] {
        let folder = tempfile::tempdir().unwrap();
        let dictionary =
            Dictionary::open_with(folder.path(), Options { seal_ids, ..Options::default() })
                .unwrap();
        dictionary.assign(&shop(), &["first", secret]).unwrap();
        let others: Vec<String> = (0..others).map(|n| format!("user {n}")).collect();
        dictionary.assign(&shop(), &others.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert!(holds(folder.path(), secret));
        assert_eq!(
            dictionary.delete(&shop(), &[1, 1, 99]).unwrap(),
            [Some(secret.to_owned()), None, None]
        );
        assert_eq!(dictionary.lookup(&shop(), &[secret]).unwrap(), [None]);
        assert_eq!(dictionary.purge(&shop()).unwrap(), 1);
        assert!(!holds(folder.path(), secret));
        let next = dictionary.len(&shop());
        assert_eq!(
            dictionary.assign(&shop(), &[secret, "user 0"]).unwrap(),
            [next, 2],
            "it is someone new"
        );
    }
}

/// Whether a file below the folder has these bytes.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        let here = |path: &Path| {
            fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
        };
        if path.is_dir() { holds(&path, text) } else { here(&path) }
    })
}

#[test]
fn a_repacked_dictionary_is_as_small_as_a_fresh_one() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { seal_ids: 3000, ..Options::default() };
    let ids: Vec<String> =
        (0..20_000).map(|n| format!("{:08x}-0000-4000-8000-000000000000", n * 7919)).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let half: Vec<&str> = ids.iter().copied().step_by(2).collect();
    let dictionary = Dictionary::open_with(&folder.path().join("old"), options).unwrap();
    let fresh = Dictionary::open_with(&folder.path().join("fresh"), options).unwrap();
    dictionary.assign(&shop(), &ids).unwrap();
    let full = dictionary.bytes_on_disk(&shop()).unwrap();
    fresh.assign(&shop(), &half).unwrap();
    dictionary
        .repack(&shop(), (0..20_000).step_by(2))
        .unwrap()
        .finish(|_| Ok::<_, Error>(()))
        .unwrap();
    assert!(dictionary.lookup(&shop(), &half).unwrap().into_iter().eq((0..10_000).map(Some)));
    let (repacked, fresh) =
        (dictionary.bytes_on_disk(&shop()).unwrap(), fresh.bytes_on_disk(&shop()).unwrap());
    assert!(
        repacked * 100 <= fresh * 110 && repacked * 100 < full * 60,
        "{repacked} {fresh} {full}"
    );
    assert!(full < 48 * 20_000, "{full}");
}

#[test]
fn kept_ordinals_must_rise() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary = Dictionary::open(folder.path()).unwrap();
    dictionary.assign(&shop(), &["a", "b", "c"]).unwrap();
    for kept in [[1, 0], [1, 1]] {
        let error = dictionary.repack(&shop(), kept.into_iter()).err().unwrap();
        assert!(matches!(error, Error::KeptOrder { .. }), "{error}");
    }
    assert_eq!(
        dictionary.repack(&shop(), [1, 2].into_iter()).unwrap().renumbering().len(),
        2,
        "the failed one is out of the way"
    );
}

#[test]
fn a_generation_renewed_meanwhile_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary = Dictionary::open(folder.path()).unwrap();
    dictionary.assign(&shop(), &["a", "b"]).unwrap();
    let repack = dictionary.repack(&shop(), 1..2).unwrap();
    dictionary.renew(&shop(), 2).unwrap();
    let error = repack.finish(|_| Ok::<(), Error>(())).unwrap_err();
    assert!(matches!(error, Error::Superseded { current: 2, .. }), "{error}");
    assert_eq!(dictionary.lookup(&shop(), &["a", "b"]).unwrap(), [Some(0), Some(1)]);
}

/// What a crash between the publication and the switch leaves: a copy of the folder taken at that
/// moment.
#[test]
fn two_generations_are_settled() {
    let folder = tempfile::tempdir().unwrap();
    let copy_of = |name: &str| folder.path().join(name);
    let dictionary = Dictionary::open(&copy_of("live")).unwrap();
    dictionary.assign(&shop(), &["a", "b", "c"]).unwrap();
    let published = dictionary.repack(&shop(), 1..3).unwrap().finish(|_| {
        ["first", "second", "third"]
            .iter()
            .for_each(|name| copy_folder(&copy_of("live"), &copy_of(name)));
        Ok::<_, Error>(())
    });
    published.unwrap();
    for (name, generation, expected) in
        [("first", 1, [Some(0), Some(1)]), ("second", 2, [None, Some(0)])]
    {
        let dictionary = Dictionary::open(&copy_of(name)).unwrap();
        let view = dictionary.view(&shop(), 2).unwrap();
        assert_eq!(
            dictionary.view(&shop(), 1).unwrap().lookup(&["a", "b"]).unwrap(),
            [Some(0), Some(1)]
        );
        assert_eq!(view.lookup(&["a", "b"]).unwrap(), [None, Some(0)]);
        let error = dictionary.assign(&shop(), &["a", "d"]).unwrap_err();
        assert!(matches!(error, Error::Unsettled { current: 1, prepared: 2, .. }), "{error}");
        assert!(dictionary.delete(&shop(), &[1]).is_err() && dictionary.renew(&shop(), 9).is_err());
        assert!(dictionary.repack(&shop(), 0..1).is_err());
        dictionary.settle(&shop(), generation).unwrap();
        dictionary.settle(&shop(), 77).unwrap();
        let next = [3, 2][generation as usize - 1];
        assert_eq!(dictionary.assign(&shop(), &["d"]).unwrap(), [next]);
        drop(dictionary);
        let dictionary = Dictionary::open(&copy_of(name)).unwrap();
        assert_eq!(
            (dictionary.generation(&shop()), dictionary.len(&shop())),
            (generation, next + 1)
        );
        assert_eq!(dictionary.lookup(&shop(), &["a", "b"]).unwrap(), expected);
        assert_eq!(
            fs::read_dir(copy_of(name).join("shop")).unwrap().count(),
            2,
            "one generation and the manifest"
        );
        assert_eq!(view.lookup(&["a", "b"]).unwrap(), [None, Some(0)], "held, it is read on");
    }
    let error = Dictionary::open(&copy_of("third")).unwrap().settle(&shop(), 3).unwrap_err();
    assert!(matches!(error, Error::NoGeneration { generation: 3, .. }), "{error}");
}

#[test]
fn generations_only_rise_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary = Dictionary::open(folder.path()).unwrap();
    assert_eq!(dictionary.generation(&shop()), 0, "no ids yet");
    dictionary.assign(&shop(), &["a"]).unwrap();
    assert_eq!(dictionary.generation(&shop()), 1);
    dictionary.renew(&shop(), 3).unwrap();
    dictionary.renew(&shop(), 2).unwrap();
    assert_eq!((dictionary.generation(&shop()), dictionary.len(&shop())), (3, 1));
    drop(dictionary);
    let dictionary = Dictionary::open(folder.path()).unwrap();
    assert_eq!(
        (dictionary.generation(&shop()), dictionary.assign(&shop(), &["b", "a"]).unwrap()),
        (3, vec![1, 0])
    );
    drop(dictionary);
    let dictionary = Dictionary::open(folder.path()).unwrap();
    assert_eq!(dictionary.generation(&shop()), 3, "giving ordinals keeps it");
}

#[test]
fn an_app_may_begin_with_a_later_generation() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary = Dictionary::open(folder.path()).unwrap();
    dictionary.renew(&shop(), 7).unwrap();
    drop(dictionary);
    let dictionary = Dictionary::open(folder.path()).unwrap();
    assert_eq!((dictionary.generation(&shop()), dictionary.len(&shop())), (7, 0));
    assert_eq!(
        (dictionary.assign(&shop(), &["a"]).unwrap(), dictionary.generation(&shop())),
        (vec![0], 7)
    );
}

#[test]
fn streams_over_many_steps_dense_and_sparse() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary = Dictionary::open(folder.path()).unwrap();
    let ids: Vec<String> = (0..70_000).map(|n| format!("user {n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert!(
        dictionary.assign(&shop(), &ids).unwrap().into_iter().eq(0..70_000),
        "over more than one batch"
    );
    for every in [1, 7, 50] {
        let streamed =
            dictionary.resolve_sorted(&shop(), (0..70_010).step_by(every)).map(Result::unwrap);
        let expected = (0u32..70_000).step_by(every).map(|n| (n, format!("user {n}")));
        assert!(streamed.eq(expected), "every {every}th");
    }
}

#[test]
fn threads_agree_and_readers_see_whole_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { seal_ids: 100, ..Options::default() };
    let dictionary = &Dictionary::open_with(folder.path(), options).unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3usize)
            .map(|t| {
                scope.spawn(move || {
                    let mut given = Vec::new();
                    for round in 0..20 {
                        // Half of each call's ids are asked for by the other threads too.
                        let ids: Vec<String> = (0..40)
                            .map(|n| {
                                if n % 2 == 0 {
                                    format!("r{round}n{n}")
                                } else {
                                    format!("t{t}r{round}n{n}")
                                }
                            })
                            .collect();
                        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                        given.extend(
                            dictionary
                                .assign(&shop(), &ids)
                                .unwrap()
                                .into_iter()
                                .zip(ids.iter().map(|s| s.to_string())),
                        );
                    }
                    given
                })
            })
            .collect();
        scope.spawn(|| {
            while dictionary.len(&shop()) < 20 * 80 {
                let len = dictionary.len(&shop());
                let ids: Vec<String> = dictionary
                    .resolve_sorted(&shop(), 0..len)
                    .map(|pair| pair.unwrap().1)
                    .collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                assert!(
                    dictionary.lookup(&shop(), &ids).unwrap().into_iter().eq((0..len).map(Some))
                );
            }
        });
        for writer in writers {
            for (ordinal, id) in writer.join().unwrap() {
                assert_eq!(dictionary.resolve(&shop(), &[ordinal]).unwrap(), [Some(id)]);
            }
        }
    });
    assert_eq!(dictionary.len(&shop()), 20 * (20 + 3 * 20), "each id once");
}

/// Readers hold views while users come, others go, and generations follow one another.
#[test]
fn readers_go_on_while_generations_change() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary =
        &Dictionary::open_with(folder.path(), Options { seal_ids: 64, ..Options::default() })
            .unwrap();
    let users: Vec<String> = (0..300).map(|n| format!("user {n}")).collect();
    let users: &Vec<&str> = &users.iter().map(String::as_str).collect();
    dictionary.assign(&shop(), users).unwrap();
    let done = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    let Some(view) = dictionary.view(&shop(), dictionary.generation(&shop()))
                    else {
                        continue;
                    };
                    let found = view.lookup(users).unwrap();
                    for (n, (ordinal, user)) in found.iter().zip(users).enumerate() {
                        assert!(ordinal.is_some() || n % 5 != 0, "{user} stays");
                        if let Some(ordinal) = ordinal {
                            assert_eq!(
                                view.resolve(&[*ordinal]).unwrap(),
                                [Some(user.to_string())]
                            );
                        }
                    }
                }
            });
        }
        let writer = scope.spawn(|| {
            let mut late = Vec::new();
            while !done.load(Ordering::Acquire) {
                let ids: Vec<String> = (0..5).map(|n| format!("late {}", late.len() + n)).collect();
                dictionary
                    .assign(&shop(), &ids.iter().map(String::as_str).collect::<Vec<_>>())
                    .unwrap();
                late.extend(ids);
            }
            late
        });
        for round in 0..8 {
            let leaves = |id: &str| {
                id.strip_prefix("user ")
                    .is_some_and(|n| n.parse::<u32>().unwrap() % 5 == 1 + round % 4)
            };
            let all = dictionary
                .resolve(&shop(), &(0..dictionary.len(&shop())).collect::<Vec<_>>())
                .unwrap();
            let kept = (0..all.len() as u32)
                .filter(|ordinal| all[*ordinal as usize].as_ref().is_some_and(|id| !leaves(id)));
            let repack = dictionary
                .repack(
                    &shop(),
                    kept.collect::<Vec<_>>().into_iter().chain(all.len() as u32..u32::MAX),
                )
                .unwrap();
            repack.finish(|_| Ok::<_, Error>(())).unwrap();
        }
        done.store(true, Ordering::Release);
        let late = writer.join().unwrap();
        let late: Vec<&str> = late.iter().map(String::as_str).collect();
        assert!(
            dictionary.lookup(&shop(), &late).unwrap().iter().all(Option::is_some),
            "every one is carried over"
        );
    });
    assert_eq!(dictionary.generation(&shop()), 9);
    let left: Vec<u32> = (0..dictionary.len(&shop())).collect();
    let left = dictionary
        .resolve(&shop(), &left)
        .unwrap()
        .into_iter()
        .flatten()
        .filter(|id| id.starts_with("user"))
        .count();
    assert_eq!(left, 60, "every fifth");
}

#[test]
fn runs_stay_few() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { seal_ids: 50, ..Options::default() };
    let ids: Vec<String> = (0..10_000).map(|n| format!("user {n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let dictionary = Dictionary::open_with(folder.path(), options).unwrap();
    ids.chunks(50).for_each(|ids| drop(dictionary.assign(&shop(), ids).unwrap()));
    let is_run = |name: std::ffi::OsString| name.to_string_lossy().starts_with("run");
    let runs = || {
        fs::read_dir(folder.path().join("shop/generation-1"))
            .unwrap()
            .filter(|e| is_run(e.as_ref().unwrap().file_name()))
            .count()
    };
    let start = Instant::now();
    // The large ones are merged beside the calls.
    while runs() > 4 {
        assert!(start.elapsed() < Duration::from_secs(30), "{} runs", runs());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(dictionary.lookup(&shop(), &ids).unwrap().into_iter().eq((0..10_000).map(Some)));
    drop(dictionary);
    let dictionary = Dictionary::open_with(folder.path(), options).unwrap();
    assert!(dictionary.lookup(&shop(), &ids).unwrap().into_iter().eq((0..10_000).map(Some)));
}

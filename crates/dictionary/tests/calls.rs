//! Single calls: what is refused, threads, streams over many steps.
#![allow(clippy::unwrap_used, clippy::panic)]

use taghouse_dictionary::{Dictionary, Error};
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
    let unfinished = folder.path().join("dictionary.creating");
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("0.jnl"), b"half").unwrap();
    let dictionary = Dictionary::open(&folder.path().join("dictionary")).unwrap();
    assert_eq!(dictionary.assign(&shop(), &["a"]).unwrap(), [0]);
    assert!(!unfinished.exists());
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
    assert_eq!((dictionary.generation(&shop()), dictionary.assign(&shop(), &["b", "a"]).unwrap()), (3, vec![1, 0]));
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
    assert_eq!((dictionary.assign(&shop(), &["a"]).unwrap(), dictionary.generation(&shop())), (vec![0], 7));
}

#[test]
fn streams_over_many_steps_dense_and_sparse() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary = Dictionary::open(folder.path()).unwrap();
    let ids: Vec<String> = (0..70_000).map(|n| format!("user {n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert!(dictionary.assign(&shop(), &ids).unwrap().into_iter().eq(0..70_000), "over more than one batch");
    for every in [1, 7, 50] {
        let streamed = dictionary.resolve_sorted(&shop(), (0..70_010).step_by(every)).map(Result::unwrap);
        let expected = (0u32..70_000).step_by(every).map(|n| (n, format!("user {n}")));
        assert!(streamed.eq(expected), "every {every}th");
    }
}

#[test]
fn threads_agree_and_readers_see_whole_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let dictionary = &Dictionary::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3usize)
            .map(|t| {
                scope.spawn(move || {
                    let mut given = Vec::new();
                    for round in 0..20 {
                        // Half of each call's ids are asked for by the other threads too.
                        let ids: Vec<String> =
                            (0..40).map(|n| if n % 2 == 0 { format!("r{round}n{n}") } else { format!("t{t}r{round}n{n}") }).collect();
                        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                        given.extend(dictionary.assign(&shop(), &ids).unwrap().into_iter().zip(ids.iter().map(|s| s.to_string())));
                    }
                    given
                })
            })
            .collect();
        scope.spawn(|| {
            while dictionary.len(&shop()) < 20 * 80 {
                let len = dictionary.len(&shop());
                let ids: Vec<String> = dictionary.resolve_sorted(&shop(), 0..len).map(|pair| pair.unwrap().1).collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                assert!(dictionary.lookup(&shop(), &ids).unwrap().into_iter().eq((0..len).map(Some)));
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

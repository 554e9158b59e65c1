//! The dictionary against a map, over any sequence of calls, with the store opened anew in between.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use std::collections::BTreeMap;
use taghouse_dictionary::Dictionary;
use taghouse_model::AppId;

#[derive(Debug, Clone)]
enum Step {
    Assign(usize, Vec<String>),
    Lookup(usize, Vec<String>),
    Resolve(usize, Vec<u32>),
    Stream(usize, Vec<u32>),
    Reopen,
}

/// Names of which some begin another, beside ids that begin with such names' rests.
const APPS: [&str; 3] = ["a", "ab", "abc"];

fn ids() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(prop_oneof![4 => "[abc]{1,3}", 1 => "\\PC{1,8}", 1 => "x{500,512}"], 0..12)
}

fn step() -> impl Strategy<Value = Step> {
    let app = 0..APPS.len();
    let ordinals = || proptest::collection::vec(0u32..60, 0..30);
    prop_oneof![
        4 => (app.clone(), ids()).prop_map(|(a, i)| Step::Assign(a, i)),
        2 => (app.clone(), ids()).prop_map(|(a, i)| Step::Lookup(a, i)),
        1 => (app.clone(), ordinals()).prop_map(|(a, o)| Step::Resolve(a, o)),
        1 => (app, ordinals()).prop_map(|(a, mut o)| { o.sort_unstable(); o.dedup(); Step::Stream(a, o) }),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn behaves_like_a_map(steps in proptest::collection::vec(step(), 1..24)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dictionary");
        let mut dictionary = Some(Dictionary::open(&path).unwrap());
        let mut forward: [BTreeMap<String, u32>; 3] = Default::default();
        let mut reverse: [Vec<String>; 3] = Default::default();
        for step in steps {
            if matches!(step, Step::Reopen) {
                drop(dictionary.take());
            }
            let dictionary = dictionary.get_or_insert_with(|| Dictionary::open(&path).unwrap());
            match step {
                Step::Assign(a, ids) => {
                    let expected: Vec<u32> = ids.iter().map(|id| *forward[a].entry(id.clone()).or_insert_with(|| {
                        reverse[a].push(id.clone());
                        reverse[a].len() as u32 - 1
                    })).collect();
                    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                    prop_assert_eq!(dictionary.assign(&app(a), &ids).unwrap(), expected);
                }
                Step::Lookup(a, ids) => {
                    let expected: Vec<_> = ids.iter().map(|id| forward[a].get(id).copied()).collect();
                    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                    prop_assert_eq!(dictionary.lookup(&app(a), &ids).unwrap(), expected);
                }
                Step::Resolve(a, ordinals) => {
                    let expected: Vec<_> = ordinals.iter().map(|o| reverse[a].get(*o as usize).cloned()).collect();
                    prop_assert_eq!(dictionary.resolve(&app(a), &ordinals).unwrap(), expected);
                }
                Step::Stream(a, ordinals) => {
                    let expected: Vec<_> = ordinals.iter().filter_map(|o| Some((*o, reverse[a].get(*o as usize)?.clone()))).collect();
                    let streamed: Vec<_> = dictionary.resolve_sorted(&app(a), ordinals).map(Result::unwrap).collect();
                    prop_assert_eq!(streamed, expected);
                }
                Step::Reopen => {}
            }
            for (a, ids) in reverse.iter().enumerate() {
                prop_assert_eq!(dictionary.len(&app(a)) as usize, ids.len());
            }
        }
    }
}

fn app(index: usize) -> AppId {
    AppId::new(APPS[index]).unwrap()
}

//! The dictionary against a map, over any sequence of calls, with seals after a few ids, and with
//! the files opened again in between.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use taghouse_dictionary::{Carried, Dictionary, Error, Options};
use taghouse_model::AppId;

#[derive(Debug, Clone)]
enum Step {
    Assign(usize, Vec<String>),
    Lookup(usize, Vec<String>),
    Resolve(usize, Vec<u32>),
    Stream(usize, Vec<u32>),
    Delete(usize, Vec<u32>),
    Purge(usize),
    Renew(usize),
    Repack(usize, Repacking),
    Reopen,
}

/// Every `nth` ordinal goes; meanwhile ids come and ordinals are deleted.
#[derive(Debug, Clone)]
struct Repacking {
    nth: u32,
    come: Vec<String>,
    gone: Vec<u32>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Published,
    Refused,
    Dropped,
}

/// Names of which some begin another.
const APPS: [&str; 3] = ["a", "ab", "abc"];

fn ids() -> impl Strategy<Value = Vec<String>> {
    let uuid = (0u8..16).prop_map(|n| format!("{n:02x}000000-0000-4000-8000-000000000000"));
    let id = prop_oneof![4 => "[abc]{1,3}", 4 => uuid, 2 => "[0-9]{1,2}", 1 => "\\PC{1,8}", 1 => "x{500,512}", 1 => "y{190,194}"];
    proptest::collection::vec(id, 0..16)
}

fn ordinals() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0u32..60, 0..20)
}

fn step() -> impl Strategy<Value = Step> {
    let app = 0..APPS.len();
    let end =
        prop_oneof![3 => Just(End::Published), 1 => Just(End::Refused), 1 => Just(End::Dropped)];
    let repacking = (2u32..6, ids(), proptest::collection::vec(0u32..60, 0..4), end);
    let repacking = repacking.prop_map(|(nth, come, gone, end)| Repacking { nth, come, gone, end });
    prop_oneof![
        6 => (app.clone(), ids()).prop_map(|(a, i)| Step::Assign(a, i)),
        2 => (app.clone(), ids()).prop_map(|(a, i)| Step::Lookup(a, i)),
        1 => (app.clone(), ordinals()).prop_map(|(a, o)| Step::Resolve(a, o)),
        1 => (app.clone(), ordinals()).prop_map(|(a, mut o)| { o.sort_unstable(); o.dedup(); Step::Stream(a, o) }),
        2 => (app.clone(), proptest::collection::vec(0u32..60, 0..4)).prop_map(|(a, o)| Step::Delete(a, o)),
        1 => app.clone().prop_map(Step::Purge),
        1 => app.clone().prop_map(Step::Renew),
        2 => (app, repacking).prop_map(|(a, r)| Step::Repack(a, r)),
        2 => Just(Step::Reopen),
    ]
}

/// What one app's dictionary should be.
#[derive(Default, Clone)]
struct ReferenceModel {
    generation: u64,
    ids: Vec<Option<String>>,
    forward: BTreeMap<String, u32>,
}

impl ReferenceModel {
    fn assign(&mut self, ids: &[String]) -> Vec<u32> {
        if !ids.is_empty() {
            self.generation = self.generation.max(1);
        }
        let give = |id: &String| {
            *self.forward.entry(id.clone()).or_insert_with(|| {
                self.ids.push(Some(id.clone()));
                self.ids.len() as u32 - 1
            })
        };
        ids.iter().map(give).collect()
    }

    fn delete(&mut self, ordinals: &[u32]) -> Vec<Option<String>> {
        let take = |ordinal: &u32| {
            let id = self.ids.get_mut(*ordinal as usize)?.take()?;
            self.forward.remove(&id);
            Some(id)
        };
        ordinals.iter().map(take).collect()
    }

    fn resolve(&self, ordinals: &[u32]) -> Vec<Option<String>> {
        ordinals.iter().map(|o| self.ids.get(*o as usize).cloned().flatten()).collect()
    }

    fn repacked(&self, begun: &ReferenceModel, kept: &[u32]) -> (ReferenceModel, Carried) {
        let mut ids: Vec<Option<String>> = Vec::new();
        let mut deleted = Vec::new();
        for old in kept.iter().filter(|old| begun.ids[**old as usize].is_some()) {
            if self.ids[*old as usize].is_none() {
                deleted.push(ids.len() as u32);
            }
            ids.push(self.ids[*old as usize].clone());
        }
        let mut late = Vec::new();
        for (old, id) in
            self.ids.iter().enumerate().skip(begun.ids.len()).filter(|(_, id)| id.is_some())
        {
            late.push((old as u32, ids.len() as u32));
            ids.push(id.clone());
        }
        let forward = ids
            .iter()
            .zip(0u32..)
            .filter_map(|(id, ordinal)| Some((id.clone()?, ordinal)))
            .collect();
        let generation = begun.generation.max(1) + 1;
        (ReferenceModel { generation, ids, forward }, Carried { generation, late, deleted })
    }
}

fn texts(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}

fn open(path: &Path) -> Dictionary {
    Dictionary::open_with(path, Options { seal_ids: 7, seal_bytes: 2000, most_ids: 1000 }).unwrap()
}

fn app(index: usize) -> AppId {
    AppId::new(APPS[index]).unwrap()
}

/// All of one app, both directions.
fn check(dictionary: &Dictionary, app: &AppId, model: &ReferenceModel) {
    assert_eq!(
        (dictionary.len(app) as usize, dictionary.generation(app)),
        (model.ids.len(), model.generation)
    );
    let all: Vec<u32> = (0..model.ids.len() as u32 + 2).collect();
    assert_eq!(dictionary.resolve(app, &all).unwrap(), model.resolve(&all));
    let ids: Vec<&str> = model.forward.keys().map(String::as_str).collect();
    assert!(
        dictionary.lookup(app, &ids).unwrap().into_iter().eq(model
            .forward
            .values()
            .copied()
            .map(Some))
    );
}

fn repack(dictionary: &Dictionary, app: &AppId, model: &mut ReferenceModel, repacking: &Repacking) {
    let Repacking { nth, come, gone, end } = repacking;
    model.generation = model.generation.max(1);
    let begun = model.clone();
    let kept: Vec<u32> = (0..begun.ids.len() as u32).filter(|ordinal| ordinal % nth != 0).collect();
    let repack = dictionary.repack(app, kept.iter().copied().chain([u32::MAX])).unwrap();
    assert!(matches!(dictionary.repack(app, 0..0), Err(Error::Repacking { .. })));
    assert_eq!(dictionary.assign(app, &texts(come)).unwrap(), model.assign(come));
    assert_eq!(dictionary.delete(app, gone).unwrap(), model.delete(gone));
    let old = dictionary.view(app, begun.generation).unwrap();
    let (after, carried) = model.repacked(&begun, &kept);
    let ranked = kept.iter().filter(|old| begun.ids[**old as usize].is_some());
    assert!(
        ranked
            .clone()
            .zip(0..)
            .all(|(old, new)| repack.renumbering().new_ordinal(*old) == Some(new))
    );
    assert_eq!(repack.renumbering().len() as usize, ranked.count());
    let stays = model.clone();
    match end {
        End::Dropped => drop(repack),
        End::Refused => {
            let refused = repack.finish(|_| Err::<(), _>(Error::Repacking { app: app.clone() }));
            assert!(refused.is_err());
        }
        End::Published => {
            let view = repack.finish(|given| {
                assert_eq!(given, &carried);
                assert_eq!(dictionary.generation(app), begun.generation, "not yet");
                Ok::<_, Error>(dictionary.view(app, given.generation).unwrap())
            });
            assert_eq!(view.unwrap().len() as usize, after.ids.len());
            *model = after;
        }
    }
    let all: Vec<u32> = (0..stays.ids.len() as u32).collect();
    assert_eq!(old.resolve(&all).unwrap(), stays.ids, "the old one is read on");
    assert!(
        old.lookup(&stays.forward.keys().map(String::as_str).collect::<Vec<_>>())
            .unwrap()
            .iter()
            .all(Option::is_some)
    );
    assert_eq!(dictionary.view(app, begun.generation).map(|view| view.len()), Some(old.len()));
    drop(old);
    assert_eq!(dictionary.view(app, begun.generation).is_some(), *end != End::Published);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn behaves_like_a_map(steps in proptest::collection::vec(step(), 1..32)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dictionary");
        let mut dictionary = Some(open(&path));
        let mut models: [ReferenceModel; 3] = Default::default();
        for step in steps {
            if matches!(step, Step::Reopen) {
                drop(dictionary.take());
            }
            let dictionary = dictionary.get_or_insert_with(|| open(&path));
            match step {
                Step::Assign(a, ids) => {
                    prop_assert_eq!(dictionary.assign(&app(a), &texts(&ids)).unwrap(), models[a].assign(&ids));
                }
                Step::Lookup(a, ids) => {
                    let expected: Vec<_> = ids.iter().map(|id| models[a].forward.get(id).copied()).collect();
                    prop_assert_eq!(dictionary.lookup(&app(a), &texts(&ids)).unwrap(), expected);
                }
                Step::Resolve(a, ordinals) => {
                    prop_assert_eq!(dictionary.resolve(&app(a), &ordinals).unwrap(), models[a].resolve(&ordinals));
                }
                Step::Stream(a, ordinals) => {
                    let ids = models[a].resolve(&ordinals);
                    let expected: Vec<_> = ordinals.iter().zip(ids).filter_map(|(o, id)| Some((*o, id?))).collect();
                    let streamed: Vec<_> = dictionary.resolve_sorted(&app(a), ordinals).map(Result::unwrap).collect();
                    prop_assert_eq!(streamed, expected);
                }
                Step::Delete(a, ordinals) => {
                    prop_assert_eq!(dictionary.delete(&app(a), &ordinals).unwrap(), models[a].delete(&ordinals));
                }
                Step::Purge(a) => {
                    dictionary.purge(&app(a)).unwrap();
                    prop_assert_eq!(dictionary.purge(&app(a)).unwrap(), 0, "nothing is left to erase");
                }
                Step::Renew(a) => {
                    models[a].generation += 2;
                    dictionary.renew(&app(a), models[a].generation).unwrap();
                }
                Step::Repack(a, repacking) => repack(dictionary, &app(a), &mut models[a], &repacking),
                Step::Reopen => {}
            }
            for (a, model) in models.iter().enumerate() {
                check(dictionary, &app(a), model);
            }
        }
    }
}

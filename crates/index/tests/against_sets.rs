//! Queries against `Predicate::holds`, user by user, on segments reopened from bytes.
#![allow(clippy::unwrap_used, clippy::panic)]

use object_store::memory::InMemory;
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_catalog::SqliteCatalog;
use taghouse_index::{Bitmap, Error, Index, Publication, SegmentBuilder, Snapshot, TagPublication};
use taghouse_model::{AppId, ErrorKind, Name, Value, ValueType};
use taghouse_rules::{CompareOp, Predicate};
use taghouse_testkit::{Dice, TYPES, value};

const OPS: [CompareOp; 6] = [
    CompareOp::Equal,
    CompareOp::NotEqual,
    CompareOp::Less,
    CompareOp::LessOrEqual,
    CompareOp::Greater,
    CompareOp::GreaterOrEqual,
];
const PATTERNS: [&str; 9] = ["a%", "%1", "ab_", "a\\%%", "%", "", "_", "ä%", "%b%2%"];

/// Two tags of every type, one of them with many values, and two crowds.
struct World {
    users: Vec<u32>,
    tags: BTreeMap<String, (ValueType, BTreeMap<u32, Value>)>,
    crowds: BTreeMap<String, Arc<Bitmap>>,
    snapshot: Arc<Snapshot>,
}

impl World {
    fn new(seed: u64, count: usize, step: u32) -> Self {
        let mut dice = Dice::new(seed);
        let users: Vec<u32> = (0..count as u32).map(|user| user * step + (1 << 16) - 9).collect();
        let mut tags = BTreeMap::new();
        for (number, ty) in TYPES.into_iter().enumerate() {
            for values in [5, 400] {
                // Tags that everybody has, that many have, that few have.
                let share = [4, 3, 1, 0][dice.below(4) as usize];
                let have =
                    users.iter().copied().filter(|_| dice.below(4) < share).collect::<Vec<_>>();
                let column =
                    have.into_iter().map(|user| (user, value(ty, values, &mut dice))).collect();
                tags.insert(format!("t{number}_{values}"), (ty, column));
            }
        }
        let mut crowd = |share: u64| -> Arc<Bitmap> {
            let unknown = [3, 5_000_000];
            Arc::new(
                users.iter().copied().filter(|_| dice.below(10) < share).chain(unknown).collect(),
            )
        };
        let crowds = BTreeMap::from([("some".to_owned(), crowd(3)), ("most".to_owned(), crowd(9))]);
        let snapshot = publish(&users, &tags);
        Self { users, tags, crowds, snapshot }
    }

    fn leaf(&self, dice: &mut Dice) -> Predicate<Value> {
        let at = dice.below(self.tags.len() as u64) as usize;
        let (name, (ty, _)) = self.tags.iter().nth(at).unwrap();
        let name = name.clone();
        let values = if name.ends_with("_5") { 5 } else { 400 };
        let literal = |dice: &mut Dice| taghouse_testkit::literal(*ty, values, dice);
        let texts = matches!(ty, ValueType::Text | ValueType::Set);
        match dice.below(10) {
            0..4 => {
                Predicate::Compare { name, op: OPS[dice.below(6) as usize], literal: literal(dice) }
            }
            4 | 5 => Predicate::In {
                name,
                literals: (0..=dice.below(4)).map(|_| literal(dice)).collect(),
            },
            6 => Predicate::Between { name, low: literal(dice), high: literal(dice) },
            7 if texts => {
                Predicate::Like { name, pattern: PATTERNS[dice.below(9) as usize].to_owned() }
            }
            8 => Predicate::Crowd { name: ["some", "most"][dice.below(2) as usize].to_owned() },
            _ => Predicate::IsSet { name },
        }
    }

    fn predicate(&self, depth: u32, dice: &mut Dice) -> Predicate<Value> {
        let inner = match (depth, dice.below(4)) {
            (0, _) | (_, 0) => self.leaf(dice),
            (_, 1) => Predicate::Or(
                (0..2 + dice.below(3)).map(|_| self.predicate(depth - 1, dice)).collect(),
            ),
            _ => Predicate::And(
                (0..2 + dice.below(3)).map(|_| self.predicate(depth - 1, dice)).collect(),
            ),
        };
        if dice.below(3) == 0 { Predicate::Not(Box::new(inner)) } else { inner }
    }

    fn matches(&self, user: u32, predicate: &Predicate<Value>) -> bool {
        predicate.matches(&|name| match name.strip_prefix("crowd:") {
            Some(crowd) => Some(Value::Bool(self.crowds[crowd].contains(user))),
            None => self.tags[name].1.get(&user).cloned(),
        })
    }

    fn check(&self, predicate: &Predicate<Value>) -> Result<(), TestCaseError> {
        let query =
            self.snapshot.evaluate(predicate, &|name| self.crowds.get(name).cloned()).unwrap();
        let expected: Vec<u32> =
            self.users.iter().copied().filter(|user| self.matches(*user, predicate)).collect();
        prop_assert_eq!(query.count().unwrap(), expected.len() as u64, "{:?}", predicate);
        prop_assert_eq!(
            query.bitmap().unwrap().iter().collect::<Vec<_>>(),
            expected.clone(),
            "{:?}",
            predicate
        );
        let expected: Bitmap = expected.into_iter().collect();
        for user in self.users.iter().copied().chain([3, 5_000_000]) {
            prop_assert_eq!(
                query.contains(user).unwrap(),
                expected.contains(user),
                "user {} of {:?}",
                user,
                predicate
            );
        }
        Ok(())
    }
}

fn publish(
    users: &[u32],
    tags: &BTreeMap<String, (ValueType, BTreeMap<u32, Value>)>,
) -> Arc<Snapshot> {
    let tags = tags.iter().map(|(name, (ty, column))| {
        let mut builder = SegmentBuilder::new(*ty);
        column.iter().for_each(|(user, value)| builder.add(*user, value).unwrap());
        let segment = builder.finish().unwrap();
        TagPublication {
            name: Name::new(name).unwrap(),
            value_type: *ty,
            as_of_ms: 0,
            definition: serde_json::json!({}),
            segment: segment.into(),
            flushed_through: None,
        }
    });
    let publication = Publication {
        generation: 1,
        users: Bitmap::from_sorted(users),
        tags: tags.collect(),
        drop: vec![],
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Arc::new(SqliteCatalog::open(&folder.path().join("catalog.db")).await.unwrap());
        let index = Index::new(Arc::new(InMemory::new()), catalog);
        let app = AppId::new("shop").unwrap();
        index.publish(&app, publication, vec![]).await.unwrap();
        index.snapshot(&app).await.unwrap().unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn queries_hold_for_whom_the_predicate_holds(seed in any::<u64>(), count in 1..400_usize, step in prop::sample::select(vec![1, 11, 3_001, 40_009])) {
        let world = World::new(seed, count, step);
        let mut dice = Dice::new(!seed);
        for depth in (0..40).map(|n| n % 4) {
            world.check(&world.predicate(depth, &mut dice))?;
        }
    }
}

#[test]
fn bounds_between_two_units() {
    let world = World::new(7, 300, 3);
    let compare = |tag: &str, op, literal| Predicate::Compare { name: tag.to_owned(), op, literal };
    for op in OPS {
        for units in [-25, -20, -1, 0, 1, 5, 10, 25] {
            world.check(&compare("t3_5", op, Value::Decimal(Decimal::new(units, 1)))).unwrap();
            world.check(&compare("t4_5", op, Value::Decimal(Decimal::new(units * 7, 3)))).unwrap();
            world.check(&compare("t4_5", op, Value::Decimal(Decimal::new(units * 7, 2)))).unwrap();
        }
    }
}

#[test]
fn what_cannot_be_asked_is_an_error() {
    let world = World::new(1, 20, 1);
    let fails =
        |predicate: Predicate<Value>| world.snapshot.evaluate(&predicate, &|_| None).err().unwrap();
    let compare = |name: &str, literal| Predicate::Compare {
        name: name.to_owned(),
        op: CompareOp::Less,
        literal,
    };
    let error = fails(compare("nothing", Value::Int(1)));
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::NotFound, "tag nothing is not in the index: run produce for it first")
    );
    let error = fails(compare("t3_5", Value::text("x")));
    assert!(matches!(error, Error::Mismatch { .. }) && error.kind() == ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "tag t3_5 holds int values in the index, and x cannot be compared with them: run produce if its type was changed"
    );
    assert!(matches!(
        fails(Predicate::Like { name: "t3_5".to_owned(), pattern: "%".to_owned() }),
        Error::Mismatch { .. }
    ));
    assert_eq!(fails(Predicate::Crowd { name: "gone".to_owned() }).kind(), ErrorKind::NotFound);
}

//! The reference model: what was acknowledged, person by person.

use crate::wire::{Change, Door, Outcome};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const CITIES: [&str; 4] = ["Berlin", "Paris", "Rom", "Wien"];
pub(crate) const LABELS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// What one person has.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Values {
    pub(crate) city: Option<String>,
    pub(crate) score: Option<i64>,
    pub(crate) labels: BTreeSet<&'static str>,
}

impl Values {
    pub(crate) fn is_empty(&self) -> bool {
        self.city.is_none() && self.score.is_none() && self.labels.is_empty()
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::City(city) => self.city = city.map(str::to_owned),
            Change::Score(score) => self.score = *score,
            Change::Label { label, add: true } => drop(self.labels.insert(label)),
            Change::Label { label, add: false } => drop(self.labels.remove(label)),
        }
    }
}

/// Everybody who has something, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct People(BTreeMap<String, Values>);

impl People {
    pub(crate) fn produced(&mut self, user: String, city: &str, score: i64, label: &'static str) {
        self.0.insert(
            user,
            Values {
                city: Some(city.to_owned()),
                score: Some(score),
                labels: BTreeSet::from([label]),
            },
        );
    }

    pub(crate) fn with(&self, holds: impl Fn(&Values) -> bool) -> BTreeSet<String> {
        self.0.iter().filter(|(_, values)| holds(values)).map(|(user, _)| user.clone()).collect()
    }

    /// Takes over what a writer says of its own people.
    pub(crate) fn adopt(&mut self, others: &Self) {
        self.0.extend(others.0.iter().map(|(user, values)| (user.clone(), values.clone())));
    }

    fn apply(&mut self, call: &Call) {
        match call {
            Call::Delete(user) => *self.0.entry(user.clone()).or_default() = Values::default(),
            Call::Change(changes) => changes
                .iter()
                .for_each(|(user, change)| self.0.entry(user.clone()).or_default().apply(change)),
        }
    }
}

#[derive(Debug, Clone)]
enum Call {
    Change(Vec<(String, Change)>),
    Delete(String),
}

/// One thread's people and its calls.
pub(crate) struct Writer {
    own: Vec<String>,
    people: People,
    /// Sent, and perhaps done: the kill came before the answer.
    unanswered: Option<Call>,
    acknowledged: u64,
    dice: Dice,
}

impl Writer {
    /// Every `of`th of the people, and some who do not exist yet.
    pub(crate) fn new(thread: u64, of: u64, all: &People, seed: u64) -> Self {
        let mine = all.0.iter().enumerate().filter(|(at, _)| *at as u64 % of == thread);
        let people =
            People(mine.map(|(_, (user, values))| (user.clone(), values.clone())).collect());
        let new = (0..200).map(|n| format!("w{thread}-{n}"));
        let own = people.0.keys().cloned().chain(new).collect();
        Self { own, people, unanswered: None, acknowledged: 0, dice: Dice(seed) }
    }

    pub(crate) fn people(&self) -> &People {
        &self.people
    }

    pub(crate) fn take_acknowledged(&mut self) -> u64 {
        std::mem::take(&mut self.acknowledged)
    }

    /// One more call; `false` when the server went away in it.
    pub(crate) fn call(&mut self, door: &Door) -> bool {
        let call = draw(&mut self.dice, &self.own);
        let outcome = match &call {
            Call::Change(changes) => door.change(changes),
            Call::Delete(user) => door.delete(user),
        };
        match outcome {
            Outcome::Done => {
                self.people.apply(&call);
                self.acknowledged += 1;
            }
            Outcome::Refused => {}
            Outcome::Absent => {
                let Call::Delete(user) = &call else {
                    panic!("the server does not know what it was told to change: {call:?}")
                };
                let values = self.people.0.get(user).cloned().unwrap_or_default();
                assert_eq!(values, Values::default(), "{user} was acknowledged and is not known");
            }
            Outcome::Unknown => self.unanswered = Some(call),
        }
        outcome != Outcome::Unknown
    }

    /// Asks whether the call without an answer was done: all of it or nothing.
    pub(crate) fn settle(&mut self, door: &Door) {
        let Some(call) = self.unanswered.take() else { return };
        let touched: BTreeSet<String> = match &call {
            Call::Delete(user) => BTreeSet::from([user.clone()]),
            Call::Change(changes) => changes.iter().map(|(user, _)| user.clone()).collect(),
        };
        let (without, mut with) = (self.people.clone(), self.people.clone());
        with.apply(&call);
        let told: Vec<Values> = told_of(door, &touched).into_values().collect();
        let of = |people: &People| -> Vec<Values> {
            touched.iter().map(|user| people.0.get(user).cloned().unwrap_or_default()).collect()
        };
        if told == of(&with) {
            self.people = with;
        } else {
            assert_eq!(told, of(&without), "half of a call was done, or something else: {call:?}");
        }
    }
}

/// A call for some of one's own people.
fn draw(dice: &mut Dice, own: &[String]) -> Call {
    let person = |dice: &mut Dice| own[dice.below(own.len() as u64) as usize].clone();
    if dice.below(12) == 0 {
        return Call::Delete(person(dice));
    }
    let changes = (0..1 + dice.below(30)).map(|_| {
        let change = match dice.below(8) {
            0 => Change::City(None),
            1 | 2 => Change::City(Some(CITIES[dice.below(4) as usize])),
            3 => Change::Score(None),
            4 | 5 => Change::Score(Some(dice.below(50) as i64)),
            kind => Change::Label { label: LABELS[dice.below(5) as usize], add: kind == 6 },
        };
        (person(dice), change)
    });
    Call::Change(changes.collect())
}

/// What the server says that these people have.
pub(crate) fn told_of(door: &Door, users: &BTreeSet<String>) -> BTreeMap<String, Values> {
    let mut told: BTreeMap<String, Values> =
        users.iter().map(|user| (user.clone(), Values::default())).collect();
    let mut each = |expression: String, give: &dyn Fn(&mut Values)| {
        for user in door.users(&expression) {
            if let Some(values) = told.get_mut(&user) {
                give(values);
            }
        }
    };
    for city in CITIES {
        each(format!("city == \"{city}\""), &|values| values.city = Some(city.to_owned()));
    }
    for label in LABELS {
        each(format!("labels == \"{label}\""), &|values| {
            values.labels.insert(label);
        });
    }
    for score in 0..50 {
        each(format!("score == {score}"), &|values| values.score = Some(score));
    }
    told
}

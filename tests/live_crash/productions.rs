//! What changes, deletions and productions make of people, where it is not told at which moment a production took hold.
//!
//! A production takes the place of all changes up to a position of their log, and finds again who is in the lake and was deleted before it
//! began. That position is not told. So after each kill there must be one production, the last that was done or one that the kill met, and
//! one position that explain what everybody has.

use crate::twin::{Call, Dice, People, Values, draw};
use crate::wire::{Door, form_of};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A call that was answered.
struct Done {
    call: Call,
    position: u64,
    sent: Instant,
    answered: Instant,
}

/// One thread's people, and what it did to them since they were last asked for.
pub(crate) struct Changer {
    own: Vec<String>,
    dice: Dice,
    done: Vec<Done>,
    /// Sent, and perhaps done: the kill came before the answer.
    unanswered: Option<Call>,
}

/// One production of all tags.
pub(crate) struct Production {
    sent: Instant,
    /// `None`: the kill came first.
    done: Option<Instant>,
}

/// What may have happened: the last production that is published took the place of changes up to a position.
#[derive(Clone, Copy)]
enum Cause<'a> {
    NoProduction,
    Published(&'a Production, u64),
}

impl Production {
    /// Whether it was over before the kill.
    pub(crate) fn done(&self) -> bool {
        self.done.is_some()
    }
}

impl Changer {
    /// Every `of`th of the people, and some who do not exist yet.
    pub(crate) fn new(thread: usize, of: usize, all: &People, seed: u64) -> Self {
        let own = all.ids().skip(thread).step_by(of).cloned().chain((0..100).map(|n| format!("w{thread}-{n}"))).collect();
        Self { own, dice: Dice(seed), done: Vec::new(), unanswered: None }
    }

    pub(crate) fn own(&self) -> &[String] {
        &self.own
    }

    /// One more call; `false` when the server went away in it.
    pub(crate) fn call(&mut self, door: &Door) -> bool {
        let (call, sent) = (draw(&mut self.dice, &self.own), Instant::now());
        let answer = match &call {
            Call::Change(changes) => {
                let changes: Vec<Json> = changes.iter().map(|(user, change)| form_of(user, change)).collect();
                door.call("POST", "/changes", &json!({ "changes": changes }))
            }
            Call::Delete(user) => door.call("DELETE", &format!("/users/{user}"), &json!({})),
        };
        match answer {
            None => self.unanswered = Some(call),
            Some((200, answer)) => {
                let position = answer["position"].as_u64().unwrap();
                self.done.push(Done { call, position, sent, answered: Instant::now() });
                return true;
            }
            // Users renumbered meanwhile; or nobody of this id, whom the twin does not have to know of.
            Some((409, _)) => return true,
            Some((404, _)) if matches!(call, Call::Delete(_)) => return true,
            Some((status, answer)) => panic!("{call:?}: {status} {answer}"),
        }
        false
    }

    /// How many calls were answered since it was last asked.
    pub(crate) fn take_answered(&mut self) -> u64 {
        self.unanswered = None;
        self.done.drain(..).count() as u64
    }
}

/// Productions one after the other until the server goes away. Each that is told to be over must have succeeded.
pub(crate) fn produce_until_killed(door: &Door, stop: &AtomicBool) -> Vec<Production> {
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let run = door.call("POST", "/produce", &json!({ "as_of": "2026-07-01T00:00" }));
        all.push(Production { sent, done: None });
        let Some((status, run)) = run else { break };
        assert_eq!(status, 202, "{run}");
        let id = run["id"].as_str().unwrap().to_owned();
        let state = loop {
            let Some((status, run)) = door.call("GET", &format!("/runs/{id}?wait_ms=1000"), &json!({})) else { return all };
            assert_eq!(status, 200, "{run}");
            if !matches!(run["state"].as_str().unwrap(), "pending" | "running") {
                break run;
            }
        };
        assert_eq!(state["state"], "succeeded", "a production must get in beside changes: {state}");
        all.last_mut().unwrap().done = Some(Instant::now());
    }
    all
}

/// Holds what everybody is told to have against what was done since they had `before`; `lake` is what productions give them.
pub(crate) fn check(before: &People, lake: &People, changers: &[Changer], productions: &[Production], told: &BTreeMap<String, Values>) {
    let causes = causes(changers, productions);
    let mut least: Option<Vec<String>> = None;
    for cause in &causes {
        let wrong: Vec<String> = changers.iter().flat_map(|changer| unexplained(before, lake, changer, *cause, told)).collect();
        if wrong.is_empty() {
            return;
        }
        if least.as_ref().is_none_or(|least| wrong.len() < least.len()) {
            least = Some(wrong);
        }
    }
    let (least, of) = (least.unwrap(), causes.len());
    panic!(
        "no production at any of {of} positions explains it; at best {} people are wrong: {:#?}",
        least.len(),
        &least[..least.len().min(5)]
    );
}

/// All that may have happened.
fn causes<'a>(changers: &[Changer], productions: &'a [Production]) -> Vec<Cause<'a>> {
    let done = || changers.iter().flat_map(|changer| &changer.done);
    let last_done = productions.iter().rposition(|production| production.done.is_some());
    let mut causes = if last_done.is_none() { vec![Cause::NoProduction] } else { Vec::new() };
    for production in &productions[last_done.unwrap_or(0)..] {
        // What was answered before it was asked for is behind it, what was asked for after it was done comes later.
        let from = done().filter(|call| call.answered < production.sent).map(|call| call.position).max().unwrap_or(0);
        let later = |call: &&Done| production.done.is_some_and(|done| call.sent > done);
        let to = done().filter(later).map(|call| call.position).min().unwrap_or(u64::MAX);
        let within = done().map(|call| call.position).filter(|position| (from..to).contains(position));
        causes.extend(within.chain([from]).collect::<BTreeSet<u64>>().into_iter().map(|position| Cause::Published(production, position)));
    }
    causes
}

/// Those of one changer's people whose values a cause does not explain. The call without an answer was done whole or not at all.
fn unexplained(before: &People, lake: &People, changer: &Changer, cause: Cause<'_>, told: &BTreeMap<String, Values>) -> Vec<String> {
    let nothing = Values::default();
    let check = |user: &String, unanswered: Option<&Call>| {
        let possible = possible(&before.of(user), &lake.of(user), user, &changer.done, unanswered, cause);
        let found = told.get(user).unwrap_or(&nothing);
        (!possible.contains(found)).then(|| format!("{user}: {found:?} instead of {possible:?}"))
    };
    let touched: BTreeSet<&String> = changer.unanswered.as_ref().map(users_of).unwrap_or_default();
    let mut wrong: Vec<String> = changer.own.iter().filter(|user| !touched.contains(user)).filter_map(|user| check(user, None)).collect();
    let without: Vec<String> = touched.iter().filter_map(|user| check(user, None)).collect();
    let with: Vec<String> = touched.iter().filter_map(|user| check(user, changer.unanswered.as_ref())).collect();
    if !without.is_empty() && !with.is_empty() {
        wrong.extend(without);
    }
    wrong
}

fn users_of(call: &Call) -> BTreeSet<&String> {
    match call {
        Call::Change(changes) => changes.iter().map(|(user, _)| user).collect(),
        Call::Delete(user) => BTreeSet::from([user]),
    }
}

/// What one person may have.
fn possible(before: &Values, lake: &Values, user: &str, done: &[Done], unanswered: Option<&Call>, cause: Cause<'_>) -> Vec<Values> {
    let (bases, after) = match cause {
        Cause::NoProduction => (vec![before.clone()], 0),
        Cause::Published(production, position) => {
            let deletes = |call: &Call| matches!(call, Call::Delete(deleted) if deleted == user);
            let beside = done.iter().any(|done| deletes(&done.call) && done.answered > production.sent) || unanswered.is_some_and(deletes);
            // Who was deleted while it began was found by it, or was not.
            (if beside { vec![lake.clone(), Values::default()] } else { vec![lake.clone()] }, position)
        }
    };
    let later = done.iter().filter(|done| done.position > after).map(|done| &done.call).chain(unanswered);
    let later: Vec<&Call> = later.collect();
    let apply = |mut values: Values| {
        for call in &later {
            match call {
                Call::Delete(deleted) if deleted == user => values = Values::default(),
                Call::Delete(_) => {}
                Call::Change(changes) => changes.iter().filter(|(of, _)| of == user).for_each(|(_, change)| values.apply(change)),
            }
        }
        values
    };
    bases.into_iter().map(apply).collect()
}

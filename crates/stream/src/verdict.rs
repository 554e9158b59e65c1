//! What differs between the stream and the batch at one look, and what becomes of it at the next.

use crate::look::{Look, LookedAt};
use crate::parity::{Difference, DifferenceClass};
use std::collections::{BTreeMap, HashMap};
use taghouse_model::{Name, Value};
use taghouse_produce::Sampled;

/// A user's value of a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) user: String,
    pub(crate) tag: Name,
}

impl Pair {
    pub(crate) fn new(user: &str, tag: &Name) -> Self {
        Self { user: user.to_owned(), tag: tag.clone() }
    }
}

/// Differences of a look. The class of each is what it is if it is there again.
pub(crate) type Differing = BTreeMap<Pair, Difference>;

/// What becomes of differences.
#[derive(Default)]
pub(crate) struct Verdict {
    /// What is known.
    pub(crate) known: Vec<Difference>,
    /// What is to be looked at once more.
    pub(crate) open: Differing,
}

/// What differs of the pairs that are `wanted`.
pub(crate) fn compare(
    look: &Look,
    batch: &Sampled,
    wanted: &dyn Fn(&str, &Name) -> bool,
) -> Differing {
    let mut differing = Differing::new();
    let places: HashMap<&str, usize> =
        look.users.iter().enumerate().map(|(row, user)| (user.as_str(), row)).collect();
    for tag in &look.tags {
        for (user, row) in &places {
            if !wanted(user, &tag.name) {
                continue;
            }
            if let Some(difference) = differs(look, tag, *row, batch) {
                differing.insert(Pair::new(user, &tag.name), difference);
            }
        }
    }
    differing
}

/// The difference of a user's value, if there is one, and what it is unless it goes by itself.
fn differs(look: &Look, tag: &LookedAt, row: usize, batch: &Sampled) -> Option<Difference> {
    let user = &look.users[row];
    let of_batch: Option<&Value> = batch.values.get(user).and_then(|tags| tags.get(&tag.name));
    let (held, shown) = (tag.held[row].as_ref(), tag.shown[row].as_ref());
    if held == of_batch && shown == of_batch {
        return None;
    }
    let unread_by_hand =
        look.unread.by_hand.contains(&(user.clone(), tag.name.as_str().to_owned()));
    let by_hand = unread_by_hand || batch.by_hand.contains(&(user.clone(), tag.name.clone()));
    let (class, why) = if look.unread.users.contains(user) {
        (DifferenceClass::InFlight, "the user's id was deleted, linked or unlinked at that moment")
    } else if held != of_batch {
        (DifferenceClass::Defect, "the states say something else than the batch, at two looks")
    } else if by_hand {
        (DifferenceClass::ByHand, "a value changed by hand is shown over the live one")
    } else if tag.due.contains(&row) {
        (DifferenceClass::InFlight, "time has changed the value, and it is still to be shown")
    } else {
        (DifferenceClass::Defect, "the index shows something else than the states, at two looks")
    };
    Some(Difference {
        user: user.clone(),
        tag: tag.name.clone(),
        shown: shown.cloned(),
        held: held.cloned(),
        batch: of_batch.cloned(),
        as_of_ms: look.as_of_ms,
        position: look.position,
        class,
        why,
    })
}

/// After a look at which `now` differed, and of `before` that was open.
pub(crate) fn judged(before: Differing, now: Differing) -> Verdict {
    let mut verdict = Verdict::default();
    let mut now = now;
    for (pair, first) in before {
        match now.remove(&pair) {
            None if first.class == DifferenceClass::InFlight => verdict.known.push(first),
            None => {
                let class = DifferenceClass::InFlight;
                verdict.known.push(Difference {
                    class,
                    why: "it was gone at the second look",
                    ..first
                });
            }
            // A reason that it had at the first look says nothing of the second.
            Some(second)
                if second.class == DifferenceClass::Defect
                    && first.class != DifferenceClass::Defect =>
            {
                verdict.open.insert(pair, second);
            }
            Some(second) => verdict.known.push(second),
        }
    }
    for (pair, difference) in now {
        if difference.class == DifferenceClass::ByHand {
            verdict.known.push(difference);
        } else {
            verdict.open.insert(pair, difference);
        }
    }
    verdict
}

/// Of what is open where there is no other look.
pub(crate) fn left(
    open: Differing,
    class: DifferenceClass,
    why: &'static str,
) -> impl Iterator<Item = Difference> {
    open.into_values().map(move |difference| Difference { class, why, ..difference })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(class: DifferenceClass) -> Differing {
        let tag = Name::new("orders").unwrap();
        let difference = Difference {
            user: "ann".to_owned(),
            tag: tag.clone(),
            shown: Some(Value::Int(1)),
            held: None,
            batch: None,
            as_of_ms: 0,
            position: 0,
            class,
            why: "",
        };
        Differing::from([(Pair::new("ann", &tag), difference)])
    }

    fn check(first: Option<DifferenceClass>, second: Option<DifferenceClass>, expected: &str) {
        let (first, second) = (first.map(seen), second.map(seen));
        let verdict = judged(first.unwrap_or_default(), second.unwrap_or_default());
        let known = verdict.known.iter().map(|difference| difference.class.to_string());
        let open = verdict.open.values().map(|difference| format!("open {}", difference.class));
        assert_eq!(known.chain(open).collect::<Vec<_>>().join(", "), expected);
    }

    #[test]
    fn a_defect_is_what_two_looks_see_without_a_reason() {
        use DifferenceClass::{ByHand, Defect, InFlight};
        check(None, Some(Defect), "open defect");
        check(None, Some(InFlight), "open in_flight");
        check(None, Some(ByHand), "by_hand");
        check(Some(Defect), None, "in_flight");
        check(Some(InFlight), None, "in_flight");
        check(Some(Defect), Some(Defect), "defect");
        check(Some(InFlight), Some(Defect), "open defect");
        check(Some(Defect), Some(InFlight), "in_flight");
        check(Some(Defect), Some(ByHand), "by_hand");
        check(Some(InFlight), Some(InFlight), "in_flight");
    }
}

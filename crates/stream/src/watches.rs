//! Which live crowds a change of a tag's value may concern.
//!
//! A rule changes only where one of its comparisons does. Of each tag it is known at which numbers
//! comparisons change, and of which crowds these are; so a count that goes from 5 to 6 concerns the
//! crowds that ask for 6, not all that ask for the count. This is how publish/subscribe systems
//! match events with many subscriptions (Fabret et al., Filtering Algorithms and Implementation for
//! Very Fast Publish/Subscribe Systems, SIGMOD 2001).

use crate::watched_row::{WatchedRow, number};
use std::collections::{BTreeMap, HashMap};
use taghouse_model::{Value, ValueType};
use taghouse_rules::{Condition, Place, Predicate};

/// Live crowds whose rules hang on values with states alone, not on time.
#[derive(Default)]
pub(crate) struct Watches {
    tags: BTreeMap<usize, TagWatch>,
    rules: BTreeMap<usize, Rule>,
    /// The crowds in which a user without any value is.
    by_default: Vec<usize>,
}

/// A crowd's rule, over its tags' values.
pub(crate) struct Rule {
    pub(crate) condition: Condition,
    /// The numbers of its tags, in the order of places.
    pub(crate) inputs: Vec<usize>,
    pub(crate) types: Vec<ValueType>,
}

/// What crowds ask of one tag.
struct TagWatch {
    value_type: ValueType,
    comparisons: Vec<Comparison>,
    /// Their places by what they say, while crowds are added.
    places: HashMap<String, usize>,
    /// The comparisons of other than numbers.
    others: Vec<usize>,
    /// Numbers at which a comparison changes, ascending, and the crowds that it is of: from below
    /// that number to that number or above.
    steps: Vec<NumberStep>,
    /// Crowds that ask something of it together with other tags.
    always: Vec<usize>,
    /// All of them.
    crowds: Vec<usize>,
}

struct Comparison {
    /// Over a single place.
    condition: Condition,
    crowds: Vec<usize>,
}

struct NumberStep {
    at: i128,
    crowds: Vec<usize>,
}

impl Watches {
    /// Adds a crowd. `inputs`: its tags, by name and number; `types`: theirs.
    pub(crate) fn add(
        &mut self,
        crowd: usize,
        predicate: &Predicate<Value>,
        inputs: &[(String, usize)],
        types: &[ValueType],
    ) {
        let place = |name: &str| {
            let at = inputs.iter().position(|(input, _)| input == name)?;
            Some(Place { at, value_type: types[at] })
        };
        let rule = Rule {
            condition: Condition::compile(predicate, place),
            inputs: inputs.iter().map(|(_, tag)| *tag).collect(),
            types: types.to_vec(),
        };
        let nothing = vec![None; inputs.len()];
        if rule.holds(&nothing) {
            self.by_default.push(crowd);
        }
        for (at, (_, tag)) in inputs.iter().enumerate() {
            let watch = self.tags.entry(*tag).or_insert_with(|| TagWatch::new(types[at]));
            watch.crowds.push(crowd);
        }
        self.watch(crowd, predicate, inputs);
        self.rules.insert(crowd, rule);
    }

    fn watch(&mut self, crowd: usize, predicate: &Predicate<Value>, inputs: &[(String, usize)]) {
        match predicate {
            Predicate::And(operands) | Predicate::Or(operands) => {
                operands.iter().for_each(|operand| self.watch(crowd, operand, inputs));
            }
            Predicate::Not(inner) => self.watch(crowd, inner, inputs),
            leaf => {
                let names = leaf.names();
                let of_one = names.len() == 1;
                for (_, tag) in inputs.iter().filter(|(name, _)| names.contains(&name.as_str())) {
                    let Some(watch) = self.tags.get_mut(tag) else { continue };
                    match of_one {
                        true => watch.compare(crowd, leaf),
                        false => watch.always.push(crowd),
                    }
                }
            }
        }
    }

    /// Makes it ready, once all crowds are added.
    pub(crate) fn finish(&mut self) {
        self.tags.values_mut().for_each(TagWatch::finish);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the crowd is one of these.
    pub(crate) fn has(&self, crowd: usize) -> bool {
        self.rules.contains_key(&crowd)
    }

    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }

    pub(crate) fn rule(&self, crowd: usize) -> Option<&Rule> {
        self.rules.get(&crowd)
    }

    /// All crowds.
    pub(crate) fn crowds(&self) -> impl Iterator<Item = usize> {
        self.rules.keys().copied()
    }

    /// The crowds in which a user without any value is.
    pub(crate) fn by_default(&self) -> &[usize] {
        &self.by_default
    }

    /// Shows each crowd that may change with a value of the tag, some more than once. `before`:
    /// `None` where it is not known.
    pub(crate) fn concerned(
        &self,
        tag: usize,
        before: Option<&Option<Value>>,
        now: &Option<Value>,
        mut see: impl FnMut(usize),
    ) {
        let Some(watch) = self.tags.get(&tag) else { return };
        match before {
            Some(before) => watch.concerned(before, now, &mut see),
            None => watch.crowds.iter().copied().for_each(see),
        }
    }
}

impl Rule {
    /// Whether it holds for these values, in the order of its tags.
    pub(crate) fn holds(&self, values: &[Option<Value>]) -> bool {
        self.condition.holds(&WatchedRow { values, types: &self.types })
    }
}

impl TagWatch {
    fn new(value_type: ValueType) -> Self {
        Self {
            value_type,
            comparisons: Vec::new(),
            places: HashMap::new(),
            others: Vec::new(),
            steps: Vec::new(),
            always: Vec::new(),
            crowds: Vec::new(),
        }
    }

    fn compare(&mut self, crowd: usize, predicate: &Predicate<Value>) {
        let next = self.comparisons.len();
        let number = *self.places.entry(format!("{predicate:?}")).or_insert(next);
        if number == next {
            let place = Place { at: 0, value_type: self.value_type };
            let condition = Condition::compile(predicate, |_| Some(place));
            self.comparisons.push(Comparison { condition, crowds: Vec::new() });
        }
        self.comparisons[number].crowds.push(crowd);
    }

    fn finish(&mut self) {
        self.places = HashMap::new();
        let mut steps: BTreeMap<i128, Vec<usize>> = BTreeMap::new();
        for (number, comparison) in self.comparisons.iter().enumerate() {
            match comparison.condition.steps() {
                Some(numbers) => numbers
                    .into_iter()
                    .for_each(|at| steps.entry(at).or_default().extend(&comparison.crowds)),
                None => self.others.push(number),
            }
        }
        self.steps = steps.into_iter().map(|(at, crowds)| NumberStep { at, crowds }).collect();
    }

    fn concerned(&self, before: &Option<Value>, now: &Option<Value>, see: &mut impl FnMut(usize)) {
        let units = |value: &Option<Value>| number(value.as_ref()?, self.value_type);
        let mut compare = |comparison: &Comparison| {
            let holds = |value: &Option<Value>| {
                let (values, types) = (std::slice::from_ref(value), &[self.value_type]);
                comparison.condition.holds(&WatchedRow { values, types })
            };
            if holds(before) != holds(now) {
                comparison.crowds.iter().copied().for_each(&mut *see);
            }
        };
        match (units(before), units(now)) {
            (Some(before), Some(now)) => {
                self.others.iter().for_each(|number| compare(&self.comparisons[*number]));
                let (low, high) = (before.min(now), before.max(now));
                let from = self.steps.partition_point(|step| step.at <= low);
                let passed = self.steps[from..].iter().take_while(|step| step.at <= high);
                passed.flat_map(|step| &step.crowds).copied().for_each(&mut *see);
            }
            // It comes or goes, or is not a number.
            _ => self.comparisons.iter().for_each(compare),
        }
        self.always.iter().copied().for_each(see);
    }
}

#[cfg(test)]
#[path = "watches/tests.rs"]
mod tests;

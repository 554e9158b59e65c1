//! Bit slices against ordered maps.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod naive;

use naive::{numbers, population};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_bitmap::{BitSlices, Bitmap, Formula, Query};

fn ask(slices: &BitSlices, formula: Formula) -> BTreeSet<u32> {
    let query = Query::new(Arc::new(slices.existence().to_bitmap().unwrap()), formula);
    let found = query.bitmap().unwrap();
    assert_eq!(query.count().unwrap(), found.len());
    found.iter().collect()
}

fn which(numbers: &BTreeMap<u32, i64>, holds: impl Fn(i64) -> bool) -> BTreeSet<u32> {
    numbers.iter().filter(|(_, number)| holds(**number)).map(|(user, _)| *user).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn numbers_come_back(numbers in numbers(63), probes in prop::collection::vec(any::<u32>(), 4)) {
        let slices = BitSlices::from_pairs(numbers.clone()).unwrap();
        prop_assert!(slices.iter().unwrap().eq(numbers.iter().map(|(user, number)| (*user, *number))));
        for user in numbers.keys().copied().step_by(773).flat_map(|user| [user, user.wrapping_add(1)]).chain(probes) {
            prop_assert_eq!(slices.value_of(user).unwrap(), numbers.get(&user).copied());
        }
        prop_assert_eq!(slices.existence().len(), numbers.len() as u64);
        prop_assert_eq!(slices.bounds(), numbers.values().min().copied().zip(numbers.values().max().copied()));
    }

    #[test]
    fn comparing(numbers in numbers(40), pick in any::<prop::sample::Index>(), off in -2..=2_i64, more in 0..1000_i64) {
        let slices = BitSlices::from_pairs(numbers.clone()).unwrap();
        let base = numbers.values().nth(pick.index(numbers.len().max(1))).copied().unwrap_or(7).saturating_add(off);
        let high = base.saturating_add(more);
        let (b, h) = (i128::from(base), i128::from(high));
        prop_assert_eq!(ask(&slices, slices.between(b, b)), which(&numbers, |n| n == base));
        prop_assert_eq!(ask(&slices, slices.between(b, i128::MAX)), which(&numbers, |n| n >= base));
        prop_assert_eq!(ask(&slices, slices.between(b + 1, i128::MAX)), which(&numbers, |n| n > base));
        prop_assert_eq!(ask(&slices, slices.between(i128::MIN, b)), which(&numbers, |n| n <= base));
        prop_assert_eq!(ask(&slices, slices.between(i128::MIN, b - 1)), which(&numbers, |n| n < base));
        prop_assert_eq!(ask(&slices, slices.between(b, h)), which(&numbers, |n| base <= n && n <= high));
        prop_assert_eq!(ask(&slices, slices.between(h + 1, b)).len(), 0);
    }

    #[test]
    fn sums_and_bounds(numbers in numbers(63), within in population()) {
        let slices = BitSlices::from_pairs(numbers.clone()).unwrap();
        let sum = |numbers: &mut dyn Iterator<Item = i64>| numbers.map(i128::from).reduce(|a, b| a + b);
        prop_assert_eq!(slices.sum(None).unwrap(), sum(&mut numbers.values().copied()));
        let chosen: Vec<i64> = numbers.iter().filter(|(user, _)| within.contains(user)).map(|(_, number)| *number).collect();
        let within: Bitmap = within.iter().copied().collect();
        prop_assert_eq!(slices.sum(Some(&within)).unwrap(), sum(&mut chosen.iter().copied()));
        prop_assert_eq!(slices.bounds_within(&within).unwrap(), chosen.iter().min().copied().zip(chosen.iter().max().copied()));
    }
}

#[test]
fn the_whole_range_of_64_bits() {
    let numbers = BTreeMap::from([(0, i64::MIN), (1, -1), (2, 0), (1 << 21, i64::MAX)]);
    let slices = BitSlices::from_pairs(numbers.clone()).unwrap();
    assert!(slices.iter().unwrap().eq(numbers.clone()));
    assert_eq!(slices.sum(None).unwrap(), Some(-2));
    assert_eq!(ask(&slices, slices.between(0, i128::MAX)), BTreeSet::from([2, 1 << 21]));
    assert_eq!(ask(&slices, slices.between(i128::from(i64::MAX) + 1, i128::MAX)), BTreeSet::new());
    assert_eq!(ask(&slices, slices.between(i128::MIN, i128::from(i64::MIN))), BTreeSet::from([0]));
}

#[test]
fn nobody_has_a_number() {
    let slices = BitSlices::from_pairs([]).unwrap();
    assert_eq!((slices.bounds(), slices.sum(None).unwrap(), slices.value_of(0).unwrap()), (None, None, None));
    assert_eq!(ask(&slices, slices.between(i128::MIN, i128::MAX)), BTreeSet::new());
}

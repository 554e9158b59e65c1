//! Bit slices against ordered maps.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod naive;

use naive::{numbers, population};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use taghouse_bitmap::{BitSlices, Bitmap, Formula, Query, Sum};

fn ask(slices: &BitSlices, formula: Formula) -> BTreeSet<u32> {
    let query = Query::new(Arc::new(slices.existence().to_bitmap().unwrap()), formula);
    let found = query.bitmap().unwrap();
    assert_eq!(query.count().unwrap(), found.len());
    found.iter().collect()
}

fn which(numbers: &BTreeMap<u32, i128>, holds: impl Fn(i128) -> bool) -> BTreeSet<u32> {
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
    fn comparing(numbers in numbers(40), pick in any::<prop::sample::Index>(), off in -2..=2_i128, more in 0..1000_i128) {
        let slices = BitSlices::from_pairs(numbers.clone()).unwrap();
        let base = numbers.values().nth(pick.index(numbers.len().max(1))).copied().unwrap_or(7).saturating_add(off);
        let high = base.saturating_add(more);
        prop_assert_eq!(ask(&slices, slices.between(base, base)), which(&numbers, |n| n == base));
        prop_assert_eq!(ask(&slices, slices.between(base, i128::MAX)), which(&numbers, |n| n >= base));
        prop_assert_eq!(ask(&slices, slices.between(base + 1, i128::MAX)), which(&numbers, |n| n > base));
        prop_assert_eq!(ask(&slices, slices.between(i128::MIN, base)), which(&numbers, |n| n <= base));
        prop_assert_eq!(ask(&slices, slices.between(i128::MIN, base - 1)), which(&numbers, |n| n < base));
        prop_assert_eq!(ask(&slices, slices.between(base, high)), which(&numbers, |n| base <= n && n <= high));
        prop_assert_eq!(ask(&slices, slices.between(high + 1, base)).len(), 0);
    }

    #[test]
    fn ranges_within_a_crowd(numbers in numbers(40), within in population(), pick in any::<prop::sample::Index>(), more in prop::sample::select(vec![0, 5, 1 << 20, 1 << 38])) {
        let slices = BitSlices::from_pairs(numbers.clone()).unwrap();
        let low = numbers.values().nth(pick.index(numbers.len().max(1))).copied().unwrap_or(7);
        let high = low.saturating_add(more);
        let crowd = Arc::new(within.iter().copied().collect::<Bitmap>());
        for (low, high) in [(low, high), (i128::MIN, high), (low, i128::MAX), (i128::MIN, low.saturating_sub(1))] {
            let found: BTreeSet<u32> = which(&numbers, |n| low <= n && n <= high).intersection(&within).copied().collect();
            let users = Arc::new(within.iter().chain(numbers.keys()).copied().collect::<Bitmap>());
            let range = slices.between(low, high);
            let query = Query::new(users, Formula::and(vec![range, Formula::owned(crowd.clone())]));
            prop_assert_eq!(query.count().unwrap(), found.len() as u64);
            prop_assert!(query.bitmap().unwrap().iter().eq(found));
        }
    }

    #[test]
    fn sums_and_bounds(numbers in numbers(64), within in population()) {
        let slices = BitSlices::from_pairs(numbers.clone()).unwrap();
        prop_assert_eq!(slices.sum(None).unwrap(), sum(numbers.values().copied()));
        let (chosen, within) = chosen(&numbers, &within);
        prop_assert_eq!(slices.sum(Some(&within)).unwrap(), sum(chosen.iter().copied()));
        prop_assert_eq!(slices.bounds_within(&within).unwrap(), chosen.first().copied().zip(chosen.last().copied()));
    }

    #[test]
    fn distributions(
        numbers in numbers(64), within in population(), whole in any::<bool>(),
        picks in prop::collection::vec((any::<prop::sample::Index>(), -2..=2_i128), 0..12), quantiles in prop::collection::vec(0.0..=1.0, 0..5),
    ) {
        let slices = BitSlices::from_pairs(numbers.clone()).unwrap();
        let (chosen, within) = if whole { chosen(&numbers, &numbers.keys().copied().collect()) } else { chosen(&numbers, &within) };
        let within = (!whole).then_some(&within);
        let all: Vec<i128> = numbers.values().copied().collect();
        let mut edges: Vec<i128> = picks
            .iter()
            .map(|(pick, off)| if all.is_empty() { *off } else { all[pick.index(all.len())].saturating_add(*off) })
            .chain([i128::MIN, 0, i128::MAX])
            .collect();
        edges.sort_unstable();
        let counts: Vec<u64> =
            edges.windows(2).map(|pair| chosen.iter().filter(|number| pair[0] <= **number && **number < pair[1]).count() as u64).collect();
        prop_assert_eq!(slices.histogram(within, &edges).unwrap(), counts);
        let bounds = [i128::MIN, i128::from(i64::MIN), i128::from(i64::MAX), i128::from(i64::MAX) + 1, i128::MAX / 2];
        let below = |bound: &i128| chosen.iter().filter(|number| **number < *bound).count() as u64;
        prop_assert_eq!(slices.counts_below(within, &bounds).unwrap(), (chosen.len() as u64, bounds.iter().map(below).collect()));
        let asked: Vec<f64> = quantiles.iter().copied().chain([0.0, 0.5, 1.0]).collect();
        let nearest = |q: &f64| chosen[((q * chosen.len() as f64).ceil() as usize).max(1) - 1];
        let expected: Vec<i128> = if chosen.is_empty() { Vec::new() } else { asked.iter().map(nearest).collect() };
        prop_assert_eq!(slices.quantiles(within, &asked).unwrap(), expected);
    }

    /// Numbers of live changes lie below, among and above the stored ones.
    #[test]
    fn ranks_of_parts(
        parts in prop::collection::vec((numbers(64), -1_i128..=1, any::<bool>()), 0..4), within in population(),
        ranks in prop::collection::vec(any::<prop::sample::Index>(), 0..5), many in any::<bool>(),
    ) {
        let moved = |(numbers, by, whole): (BTreeMap<u32, i128>, i128, bool)| {
            (numbers.into_iter().map(|(user, number)| (user, number.saturating_add(by << 40))).collect::<BTreeMap<u32, i128>>(), whole)
        };
        let parts: Vec<_> = parts.into_iter().map(moved).collect();
        let slices: Vec<BitSlices> = parts.iter().map(|(numbers, _)| BitSlices::from_pairs(numbers.clone()).unwrap()).collect();
        let crowd: Bitmap = within.iter().copied().collect();
        let asked: Vec<_> = slices.iter().zip(&parts).map(|(slices, (_, whole))| (slices, (!whole).then_some(&crowd))).collect();
        let mut all: Vec<i128> = Vec::new();
        for (numbers, whole) in &parts {
            all.extend(if *whole { numbers.values().copied().collect() } else { chosen(numbers, &within).0 });
        }
        all.sort_unstable();
        let mut ranks: Vec<u64> = ranks.iter().map(|rank| rank.index(all.len().max(1)) as u64).chain([0, u64::MAX]).collect();
        ranks.extend((0..if many { 300 } else { 0 }).map(|part| part * all.len() as u64 / 300));
        let at = |rank: &u64| all[usize::try_from(*rank).unwrap_or(usize::MAX).min(all.len() - 1)];
        let expected: Vec<i128> = if all.is_empty() { Vec::new() } else { ranks.iter().map(at).collect() };
        prop_assert_eq!(BitSlices::select(&asked, &ranks).unwrap(), expected);
    }

    #[test]
    fn each_value(numbers in numbers(64), few in prop::sample::select(vec![1_i128, 3, 64, 1 << 40]), within in population(), whole in any::<bool>()) {
        let numbers: BTreeMap<u32, i128> = numbers.into_iter().map(|(user, number)| (user, number % few * 1000)).collect();
        let slices = BitSlices::from_pairs(numbers.clone()).unwrap();
        let users = if whole { numbers.keys().copied().collect() } else { within };
        let (chosen, within) = chosen(&numbers, &users);
        let mut counts: BTreeMap<i128, u64> = BTreeMap::new();
        chosen.iter().for_each(|number| *counts.entry(*number).or_default() += 1);
        let expected: Vec<(i128, u64)> = counts.into_iter().collect();
        let within = (!whole).then_some(&within);
        // Many different ones take long to find, not to be refused.
        for most in [expected.len().min(300), 100] {
            let expected = (expected.len() <= most).then(|| expected.clone());
            prop_assert_eq!(slices.values(within, most).unwrap(), expected);
        }
        if let Some(too_few) = expected.len().min(300).checked_sub(1) {
            prop_assert_eq!(slices.values(within, too_few).unwrap(), None);
        }
    }
}

/// The numbers of those in `within`, ascending.
fn chosen(numbers: &BTreeMap<u32, i128>, within: &BTreeSet<u32>) -> (Vec<i128>, Bitmap) {
    let mut chosen: Vec<i128> = numbers
        .iter()
        .filter(|(user, _)| within.contains(user))
        .map(|(_, number)| *number)
        .collect();
    chosen.sort_unstable();
    (chosen, within.iter().copied().collect())
}

fn sum(numbers: impl Iterator<Item = i128>) -> Option<Sum> {
    let numbers: Vec<i128> = numbers.collect();
    (!numbers.is_empty()).then(|| Sum { count: numbers.len() as u64, sum: numbers.iter().sum() })
}

#[test]
fn the_whole_range_of_28_digits() {
    const MOST: i128 = 10_i128.pow(28) - 1;
    const LEAST: i128 = -MOST;
    let numbers = BTreeMap::from([(0, LEAST), (1, -1), (2, 0), (1 << 21, MOST)]);
    let slices = BitSlices::from_pairs(numbers.clone()).unwrap();
    assert!(slices.iter().unwrap().eq(numbers.clone()));
    assert_eq!(slices.sum(None).unwrap(), Some(Sum { count: 4, sum: -1 }));
    let everybody = Bitmap::from_range(0..=3 << 20);
    assert_eq!(slices.sum(Some(&everybody)).unwrap(), slices.sum(None).unwrap());
    assert_eq!(slices.bounds_within(&everybody).unwrap(), Some((LEAST, MOST)));
    assert_eq!(
        slices.quantiles(None, &[0.0, 0.25, 0.26, 0.75, 1.0, 7.0]).unwrap(),
        [LEAST, LEAST, -1, 0, MOST, MOST]
    );
    let (beneath, above) = (
        BitSlices::from_pairs([(9, LEAST)]).unwrap(),
        BitSlices::from_pairs((10..15).map(|user| (user, MOST))).unwrap(),
    );
    let ranks: Vec<u64> = (0..11).collect();
    let found =
        BitSlices::select(&[(&beneath, None), (&slices, None), (&above, None)], &ranks).unwrap();
    assert_eq!(found, [[LEAST; 2].as_slice(), &[-1, 0], &[MOST; 7]].concat());
    assert_eq!(slices.values(None, 4).unwrap().unwrap(), [(LEAST, 1), (-1, 1), (0, 1), (MOST, 1)]);
    assert_eq!(ask(&slices, slices.between(0, i128::MAX)), BTreeSet::from([2, 1 << 21]));
    assert_eq!(ask(&slices, slices.between(MOST + 1, i128::MAX)), BTreeSet::new());
    assert_eq!(ask(&slices, slices.between(i128::MIN, LEAST)), BTreeSet::from([0]));
}

#[test]
fn nobody_has_a_number() {
    let slices = BitSlices::from_pairs::<i64>([]).unwrap();
    assert_eq!(
        (slices.bounds(), slices.sum(None).unwrap(), slices.value_of(0).unwrap()),
        (None, None, None)
    );
    assert_eq!(ask(&slices, slices.between(i128::MIN, i128::MAX)), BTreeSet::new());
    let (nobody, somebody) = (Bitmap::new(), Bitmap::from_range(0..=70_000));
    for within in [None, Some(&nobody), Some(&somebody)] {
        assert_eq!(
            (slices.sum(within).unwrap(), slices.quantiles(within, &[0.5]).unwrap()),
            (None, vec![])
        );
        assert_eq!(slices.histogram(within, &[-1, 0, 1]).unwrap(), [0, 0]);
        assert_eq!(
            (
                slices.values(within, 0).unwrap(),
                BitSlices::select(&[(&slices, within)], &[0]).unwrap()
            ),
            (Some(vec![]), vec![])
        );
    }
    assert_eq!(slices.bounds_within(&somebody).unwrap(), None);
}

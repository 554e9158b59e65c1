//! One value of an array container.

use super::CONTAINER_BITS;
use std::ops::Range;

/// Values before and behind the likely place of one.
const NEAR: usize = 16;

/// The part of an array of so many values in which `low` stands if they are spread evenly: a cache
/// line or two.
pub(super) fn near(values: usize, low: u16) -> Range<usize> {
    let likely = (values * usize::from(low)) >> CONTAINER_BITS;
    likely.saturating_sub(NEAR)..(likely + NEAR).min(values)
}

/// Whether `low` is among ascending values. Looked for where it is likely, then further and further
/// away: halving all of them would wait for memory at each step.
pub(super) fn find(values: &[[u8; 2]], low: u16) -> bool {
    let at = |index: usize| u16::from_le_bytes(values[index]);
    let Range { start: mut from, end: mut to } = near(values.len(), low);
    let mut step = NEAR;
    while from > 0 && at(from) > low {
        step *= 2;
        (from, to) = (from.saturating_sub(step), from);
    }
    while to < values.len() && at(to) <= low {
        step *= 2;
        (from, to) = (to, (to + step).min(values.len()));
    }
    let part = &values[from..to];
    if part.len() > 2 * NEAR {
        return part.binary_search_by(|value| u16::from_le_bytes(*value).cmp(&low)).is_ok();
    }
    // Without a way out in the middle, so that it becomes vectors.
    part.iter().fold(false, |found, value| found | (u16::from_le_bytes(*value) == low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Evenly spread ones, all close together, and more and more of them.
    fn values() -> impl Strategy<Value = Vec<u16>> {
        let even = (1..4_000_u16, 1..50_usize)
            .prop_map(|(most, step)| (0..=u16::MAX).step_by(step).take(most.into()).collect());
        let near = (any::<u16>(), 1..3_000_u16)
            .prop_map(|(first, more)| (first..=first.saturating_add(more)).collect());
        let any = prop::collection::btree_set(any::<u16>(), 0..400)
            .prop_map(|values| values.into_iter().collect());
        let skewed = (1..2_000_u32)
            .prop_map(|values| (0..values).map(|nth| (nth * nth / 62) as u16).collect());
        prop_oneof![even, near, any, skewed].prop_map(|mut values: Vec<u16>| {
            values.sort_unstable();
            values.dedup();
            values
        })
    }

    proptest! {
        #[test]
        fn found_is_what_is_there(values in values(), asked in prop::collection::vec(any::<u16>(), 40)) {
            let bytes: Vec<[u8; 2]> = values.iter().map(|value| value.to_le_bytes()).collect();
            let some = values.iter().step_by(values.len() / 40 + 1);
            let around = some.flat_map(|value| [value.saturating_sub(1), *value, value.saturating_add(1)]);
            for low in asked.into_iter().chain(around).chain([0, u16::MAX]) {
                prop_assert_eq!(find(&bytes, low), values.contains(&low), "{}", low);
            }
        }
    }
}

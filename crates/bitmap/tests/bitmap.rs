//! Owned and stored bitmaps against ordered sets, and their file form against damage.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod naive;

use naive::population;
use proptest::prelude::*;
use std::collections::BTreeSet;
use taghouse_bitmap::{Bitmap, Bundle, BundleBuilder, Error};

fn same(bitmap: &Bitmap, naive: &BTreeSet<u32>) {
    assert_eq!(bitmap.len(), naive.len() as u64);
    assert!(bitmap.iter().eq(naive.iter().copied()));
}

fn of(naive: &BTreeSet<u32>) -> Bitmap {
    naive.iter().copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn algebra_is_that_of_sets(a in population(), b in population(), c in population()) {
        let (x, y, z) = (of(&a), of(&b), of(&c));
        same(&x.and(&y), &a.intersection(&b).copied().collect());
        same(&x.or(&y), &a.union(&b).copied().collect());
        same(&x.and_not(&y), &a.difference(&b).copied().collect());
        same(&Bitmap::union([&x, &y, &z]), &a.iter().chain(&b).chain(&c).copied().collect());
        prop_assert_eq!(x.and_len(&y), a.intersection(&b).count() as u64);
        prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
        prop_assert!(x.and(&y).is_subset(&x) && x.is_subset(&x.or(&y)));
        prop_assert_eq!(x == y, a == b);
        prop_assert_eq!((x.min(), x.max()), (a.first().copied(), a.last().copied()));
    }

    #[test]
    fn members_and_positions(a in population(), probes in prop::collection::vec(any::<u32>(), 8), from in any::<u32>(), limit in 0..500_usize) {
        let x = of(&a);
        for probe in probes.iter().copied().chain(a.iter().step_by(997).flat_map(|o| [*o, o.wrapping_add(1), o.wrapping_sub(1)])) {
            prop_assert_eq!(x.contains(probe), a.contains(&probe));
            let mut grown = x.clone();
            prop_assert_eq!(grown.insert(probe), !a.contains(&probe));
            prop_assert_eq!(grown.len(), x.len() + u64::from(!a.contains(&probe)));
        }
        for (position, ordinal) in a.iter().enumerate().step_by(1009) {
            prop_assert_eq!(x.select(position as u64), Some(*ordinal));
        }
        prop_assert_eq!(x.select(x.len()), None);
        let from = a.iter().copied().nth(from as usize % (a.len() + 1)).unwrap_or(from);
        prop_assert_eq!(x.page(from, limit), a.range(from..).take(limit).copied().collect::<Vec<_>>());
    }

    #[test]
    fn stored_forms_give_the_same(a in population(), b in population()) {
        let (x, y) = (of(&a), of(&b));
        prop_assert_eq!(&Bitmap::from_bytes(x.to_bytes().unwrap()).unwrap(), &x);
        prop_assert_eq!(&Bitmap::from_portable(&x.serialize_portable()).unwrap(), &x);
        let mut builder = BundleBuilder::new();
        builder.push(2, &y);
        builder.push_sorted(0, &a.iter().copied().collect::<Vec<_>>());
        let bundle = Bundle::open(builder.finish(3).unwrap()).unwrap();
        prop_assert_eq!(&bundle.get(0).to_bitmap().unwrap(), &x);
        prop_assert!(bundle.get(1).is_empty() && bundle.get(3).is_empty());
        prop_assert_eq!(&bundle.get(2).to_bitmap().unwrap(), &y);
        prop_assert_eq!(bundle.get(0).len(), x.len());
        prop_assert_eq!(bundle.get(0).is_subset(&y).unwrap(), a.is_subset(&b));
        for ordinal in a.iter().chain(&b).step_by(97) {
            let expected: Vec<u32> = [(0, &a), (2, &b)].into_iter().filter(|(_, set)| set.contains(ordinal)).map(|(n, _)| n).collect();
            prop_assert_eq!(bundle.holders(0..9, *ordinal, usize::MAX).unwrap(), expected);
        }
        for (position, ordinal) in a.iter().enumerate().step_by(499) {
            prop_assert!(bundle.contains(0, *ordinal).unwrap());
            prop_assert_eq!(bundle.contains(2, *ordinal).unwrap(), b.contains(ordinal));
            prop_assert_eq!(bundle.contains(0, ordinal.wrapping_add(1)).unwrap(), a.contains(&ordinal.wrapping_add(1)));
            prop_assert_eq!(bundle.get(0).position(*ordinal).unwrap(), Some(position as u64));
        }
    }

    #[test]
    fn damage_is_seen(a in population(), at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<prop::sample::Index>()) {
        let file = of(&a).to_bytes().unwrap();
        let mut flipped = file.clone();
        flipped[at.index(file.len())] ^= 1 << bit;
        let error = Bitmap::from_bytes(flipped).unwrap_err();
        prop_assert!(matches!(error, Error::Corrupt { .. }), "{}", error);
        prop_assert!(Bitmap::from_bytes(file[..cut.index(file.len())].to_vec()).is_err());
        let mut longer = file;
        longer.push(0);
        prop_assert!(Bitmap::from_bytes(longer).is_err());
    }

    /// Even without checksums the tables cannot lead a reader out of the bytes: it is an error, or some bitmap.
    #[test]
    fn a_damaged_bundle_never_panics(a in population(), flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..4)) {
        let mut builder = BundleBuilder::new();
        builder.push(0, &of(&a));
        let mut bytes = builder.finish(1).unwrap();
        let head = bytes.len().min(400);
        for (at, bit) in flips {
            bytes[at.index(head)] ^= 1 << bit;
        }
        if let Ok(bundle) = Bundle::open(bytes) {
            prop_assert!(bundle.len() <= 1);
            // Single bits are read by safe code, which has to stay inside whatever the tables say.
            let found = a.iter().filter(|ordinal| bundle.contains(0, **ordinal).unwrap_or(false)).count();
            prop_assert!(found <= a.len());
        }
    }
}

#[test]
fn ranges_cross_shards() {
    let range = (1 << 20) - 3..=(3 << 20) + 5;
    let bitmap = Bitmap::from_range(range.clone());
    assert_eq!(bitmap.len(), u64::from(range.end() - range.start() + 1));
    assert!(
        bitmap.contains(*range.start())
            && bitmap.contains(*range.end())
            && !bitmap.contains(range.end() + 1)
    );
    assert_eq!(
        Bitmap::from_range(u32::MAX - 1..=u32::MAX).iter().collect::<Vec<_>>(),
        [u32::MAX - 1, u32::MAX]
    );
    #[expect(clippy::reversed_empty_ranges)]
    let empty = Bitmap::from_range(5..=4);
    assert!(empty.is_empty());
}

#[test]
fn errors_say_what_to_do() {
    let error =
        Bitmap::from_bytes(b"something else that is long enough for a head".to_vec()).unwrap_err();
    assert_eq!(error.kind(), taghouse_model::ErrorKind::Corrupt);
    assert_eq!(
        error.to_string(),
        "the stored bitmaps are damaged (it does not begin with TAGHBMAP): rebuild them from their source"
    );
    assert!(Bitmap::from_portable(b"nonsense").is_err());
}

/// More than one thread takes at a time; every kind of container, shards that are missing, and none
/// at all.
#[test]
fn holders_among_many() {
    let set = |number: u32| -> BTreeSet<u32> {
        let first = number % 5 * (1 << 19);
        match number % 4 {
            0 => (0..200).map(|user| first + user * (1_000 + number)).collect(),
            1 => (first..first + 90_000).step_by(7).collect(),
            2 => (first + 65_000..first + 67_000).collect(),
            _ => BTreeSet::new(),
        }
    };
    let sets: Vec<BTreeSet<u32>> = (0..1_400).map(set).collect();
    let mut builder = BundleBuilder::new();
    for (index, set) in sets.iter().enumerate() {
        builder.push_sorted(index as u32, &set.iter().copied().collect::<Vec<_>>());
    }
    let bytes = builder.finish(sets.len() as u32).unwrap();
    let bundle = Bundle::open(bytes.clone()).unwrap();
    let asked =
        sets.iter().step_by(97).flat_map(|set| set.iter().step_by(1 + set.len() / 3).copied());
    for ordinal in asked.chain([0, 65_535, 66_000, 1 << 21, u32::MAX]) {
        let expected: Vec<u32> =
            (3..1_400).filter(|index| sets[*index as usize].contains(&ordinal)).collect();
        assert_eq!(bundle.holders(3..2_000, ordinal, usize::MAX).unwrap(), expected);
        assert_eq!(bundle.holders(3..2_000, ordinal, 1).unwrap().first(), expected.first());
    }
    // The last blob is damaged: whichever thread reads it, the search fails.
    let mut damaged = bytes;
    let last = damaged.len() - 1;
    damaged[last] ^= 0xFF;
    damaged[last - 1] ^= 0xFF;
    let damaged = Bundle::open(damaged).unwrap();
    let of_last = *sets[1_398].last().unwrap();
    assert!(damaged.holders(0..1_400, of_last, usize::MAX).is_err());
}

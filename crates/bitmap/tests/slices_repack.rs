//! New ordinals and portable forms against ordered sets and maps.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
mod naive;

use naive::{numbers, population};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use taghouse_bitmap::{BitSlices, Bitmap, Bundle, BundleBuilder, Error, Repack, repack_bundle};

fn renumbered(kept: &BTreeSet<u32>) -> BTreeMap<u32, u32> {
    kept.iter().copied().zip(0..).collect()
}

/// Some of what there is and some that is not.
fn kept(all: &BTreeSet<u32>, others: &BTreeSet<u32>, of: u32) -> BTreeSet<u32> {
    all.iter().chain(others).copied().filter(|ordinal| ordinal.wrapping_mul(0x9E37_79B9) >> 16 & 7 < of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn sets_under_new_ordinals(a in population(), b in population(), others in population(), of in 0..=8_u32) {
        let kept = kept(&a, &others, of);
        let new = renumbered(&kept);
        let repack = Repack::new(&kept.iter().copied().collect());
        prop_assert_eq!((repack.len(), repack.is_empty()), (kept.len() as u64, kept.is_empty()));
        for ordinal in a.iter().step_by(501).flat_map(|o| [*o, o.wrapping_add(1)]).chain([0, u32::MAX]) {
            prop_assert_eq!(repack.new_ordinal(ordinal), new.get(&ordinal).copied());
        }
        let mut builder = BundleBuilder::new();
        for (number, set) in [&a, &b].into_iter().enumerate() {
            let expected: Bitmap = set.iter().filter_map(|ordinal| new.get(ordinal).copied()).collect();
            let bitmap: Bitmap = set.iter().copied().collect();
            prop_assert_eq!(&bitmap.repack(&repack), &expected);
            builder.push(2 * number as u32, &bitmap);
        }
        let bundle = Bundle::open(builder.finish(4).unwrap()).unwrap();
        let packed = Bundle::open(repack_bundle(&bundle, &repack).unwrap()).unwrap();
        prop_assert_eq!(packed.len(), 4);
        for (number, set) in [(0, &a), (1, &BTreeSet::new()), (2, &b), (3, &BTreeSet::new())] {
            let expected: Bitmap = set.iter().filter_map(|ordinal| new.get(ordinal).copied()).collect();
            prop_assert_eq!(packed.get(number).to_bitmap().unwrap(), expected);
        }
    }

    #[test]
    fn numbers_under_new_ordinals(numbers in numbers(64), others in population(), of in 0..=8_u32) {
        let kept = kept(&numbers.keys().copied().collect(), &others, of);
        let new = renumbered(&kept);
        let repack = Repack::new(&kept.iter().copied().collect());
        let expected: BTreeMap<u32, i64> = numbers.iter().filter_map(|(user, number)| Some((*new.get(user)?, *number))).collect();
        let bytes = BitSlices::from_pairs(numbers).unwrap().repack(&repack).unwrap();
        let (ordinals, values): (Vec<u32>, Vec<i64>) = expected.into_iter().unzip();
        // The very bytes of a fresh build.
        prop_assert!(bytes == BitSlices::encode(&ordinals, &values).unwrap());
    }

    #[test]
    fn portable_forms_come_back(a in population()) {
        let bitmap: Bitmap = a.iter().copied().collect();
        prop_assert_eq!(&Bitmap::from_portable(&bitmap.serialize_portable()).unwrap(), &bitmap);
        let bytes = bitmap.serialize_portable64();
        prop_assert_eq!(&Bitmap::from_portable64(&bytes).unwrap(), &bitmap);
        if a.is_empty() {
            prop_assert_eq!(bytes, [0; 8]);
        } else {
            prop_assert_eq!(&bytes[..12], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            prop_assert_eq!(&bytes[12..], bitmap.serialize_portable());
        }
    }
}

#[test]
fn a_64_bit_form_that_is_none() {
    let one = Bitmap::from_sorted(&[7]).serialize_portable64();
    for cut in 0..one.len() {
        let error = Bitmap::from_portable64(&one[..cut]).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{cut}: {error}");
    }
    let (mut high, mut two) = (one.clone(), one);
    high[8] = 1;
    two[0] = 2;
    for wide in [high, two] {
        let error = Bitmap::from_portable64(&wide).unwrap_err();
        assert_eq!(error.to_string(), "a value of a 64-bit bitmap is over the limit of 4294967295");
    }
}

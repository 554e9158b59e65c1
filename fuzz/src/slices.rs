//! `BitSlices::open` and everything that is asked of numbers.

use crate::LISTED;
use std::sync::Arc;
use taghouse_bitmap::{BitSlices, Bitmap, Query};

pub fn read(data: &[u8]) {
    let Ok(slices) = BitSlices::open(data.to_vec()) else { return };
    let _ = (slices.bounds(), slices.value_of(70_000), slices.value_of(3), slices.sum(None));
    if slices.existence().len() < LISTED
        && let Ok(pairs) = slices.iter()
    {
        let _ = pairs.count();
    }
    let within = Bitmap::from_range(5..=80_000);
    let _ = (slices.sum(Some(&within)), slices.bounds_within(&within));
    let Ok(users) = slices.existence().to_bitmap() else { return };
    let users = Arc::new(users.or(&within));
    let (low, high) = slices.bounds().unwrap_or_default();
    let middle = (low + high) / 2;
    for (low, high) in
        [(low, high), (low, middle), (middle, high), (low + 1, high - 1), (middle, middle), (3, 2)]
    {
        let query = Query::new(users.clone(), slices.between(low, high));
        let _ = (query.count(), query.bitmap(), query.contains(70_000));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let numbers: [&[(u32, i64)]; 5] = [
        &[],
        &[(3, 0)],
        &[(0, -5), (1, 5), (70_000, 9), (1 << 20, 1_000_000)],
        &[(7, i64::MIN), (8, i64::MAX), (9, 0)],
        &[(4_000_000_000, 1), (4_000_000_001, 2)],
    ];
    let few = numbers.into_iter().map(|pairs| pairs.iter().copied().unzip());
    let many = (0..3_000_u32).map(|n| (n * 5, i64::from(n % 37))).unzip();
    let all = few.chain([many]);
    let wide = BitSlices::encode(&[1, 2, 70_000], &[-10_i128.pow(27), 5, 10_i128.pow(27)]);
    all.filter_map(|(ordinals, numbers): (Vec<u32>, Vec<i64>)| {
        BitSlices::encode(&ordinals, &numbers).ok()
    })
    .chain(wide)
    .collect()
}

//! `Bundle::open` and everything that is read of it, single sets and queries.

use crate::bitmap::walk;
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, Bundle, BundleBuilder, Formula, Query, UserSet, overlap};

/// Bitmaps that are read of one bundle.
const BITMAPS: u32 = 6;

pub fn read(data: &[u8]) {
    let Ok(bundle) = Bundle::open(data.to_vec()) else { return };
    let mut users = Bitmap::from_range(0..=100);
    let mut stored = Vec::new();
    for number in 0..bundle.len().min(BITMAPS) {
        let one = bundle.get(number);
        let _ = (
            one.len(),
            one.is_empty(),
            one.contains(70_000),
            one.position(70_000),
            bundle.contains(number, 3),
        );
        // Those that are whole go on into queries.
        if one.load().is_ok()
            && let Ok(bitmap) = one.to_bitmap()
        {
            walk(&bitmap);
            let _ = one.is_subset(&bitmap);
            users = users.or(&bitmap);
            stored.push(one);
        }
    }
    query(users, &stored);
    let members: Vec<UserSet> = stored.into_iter().map(UserSet::Stored).collect();
    let _ = overlap(&members, &members, Some(&Bitmap::from_range(9..=70_000)));
}

fn query(users: Bitmap, stored: &[taghouse_bitmap::Stored]) {
    let users = Arc::new(users);
    let leaf = |at: usize| {
        stored.get(at).map_or_else(Formula::full, |stored| Formula::stored(stored.clone()))
    };
    let formulas = [
        Formula::and(vec![leaf(0), leaf(1), leaf(2)]),
        Formula::or(vec![leaf(0), leaf(1), leaf(2).not()]),
        Formula::and(vec![leaf(0), Formula::or(vec![leaf(1), leaf(3)]), leaf(2).not()]).not(),
        Formula::disjoint(stored.iter().cloned()),
    ];
    for formula in formulas {
        let query = Query::new(users.clone(), formula);
        let _ = (query.count(), query.bitmap(), query.contains(70_000), query.bounds());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let bitmaps = crate::seeds::bitmaps();
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for several in [&bitmaps[..3], &bitmaps[3..4], &bitmaps[4..], &bitmaps[..]] {
        let mut builder = BundleBuilder::new();
        for (number, bitmap) in several.iter().enumerate() {
            builder.push(number as u32, bitmap);
        }
        builder.alias(several.len() as u32, 0);
        seeds.extend(builder.finish(several.len() as u32 + 1));
    }
    seeds
}

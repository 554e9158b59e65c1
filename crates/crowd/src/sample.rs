use crate::ids::ids;
use crate::{Crowds, Error, Question, Result};
use std::collections::BTreeSet;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Ordinal};
use taghouse_rules::Definitions;

/// The most users of one sample.
pub const MAX_SAMPLE: usize = 10_000;

/// Some of the users who match an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// User ids, in ordinal order.
    pub users: Vec<String>,
    /// How many users match, in total.
    pub count: u64,
}

impl Crowds {
    /// `size` of the users who match the expression, or all if there are fewer. Every set of `size`
    /// users is equally likely over the seeds; the same seed on the same snapshot gives the same
    /// sample.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_SAMPLE`]; as [`Crowds::count`]; of the dictionary.
    pub async fn sample(
        &self,
        app: &AppId,
        definitions: &Definitions,
        question: &Question,
        size: usize,
        seed: u64,
    ) -> Result<Sample> {
        if size > MAX_SAMPLE {
            return Err(Error::Limit { what: "users", given: size, limit: MAX_SAMPLE });
        }
        let ready = self.ready(app, definitions, question).await?;
        let app = app.clone();
        blocking(move || {
            let set = ready.query()?.bitmap()?;
            let ordinals = drawn(&set, size, seed);
            Ok(Sample { users: ids(&app, &ready.dictionary, &ordinals)?, count: set.len() })
        })
        .await
    }
}

pub(crate) fn drawn(set: &Bitmap, size: usize, seed: u64) -> Vec<Ordinal> {
    ranks(set.len(), size as u64, seed).into_iter().filter_map(|rank| set.select(rank)).collect()
}

/// `size` different numbers below `count`, or all: Robert Floyd's algorithm (Communications of the
/// ACM 30(9), 1987).
fn ranks(count: u64, size: u64, seed: u64) -> BTreeSet<u64> {
    let mut chance = SplitMix(seed);
    let mut ranks = BTreeSet::new();
    for limit in count.saturating_sub(size)..count {
        let rank = chance.up_to(limit);
        if !ranks.insert(rank) {
            ranks.insert(limit);
        }
    }
    ranks
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014):
/// a sample must stay the same over versions of any library.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `limit`, each equally likely: draws of the last, incomplete round are thrown away.
    fn up_to(&mut self, limit: u64) -> u64 {
        let Some(choices) = limit.checked_add(1) else { return self.next() };
        let uneven = (u64::MAX % choices + 1) % choices;
        loop {
            let draw = self.next();
            if draw <= u64::MAX - uneven {
                return draw % choices;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs for seed 1234567, from the reference implementation (https://prng.di.unimi.it/splitmix64.c).
        let mut chance = SplitMix(1_234_567);
        assert_eq!(
            [chance.next(), chance.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn every_member_is_as_likely() {
        let set: Bitmap = (0..20u32).map(|n| n * 100_000).collect();
        let mut drawn_times = [0u32; 20];
        for seed in 0..20_000 {
            let ordinals = drawn(&set, 5, seed);
            assert_eq!(ordinals.len(), 5);
            assert!(ordinals.is_sorted_by(|a, b| a < b));
            ordinals.iter().for_each(|o| drawn_times[(o / 100_000) as usize] += 1);
        }
        // 20,000 draws of 5 of 20: 5,000 times each, standard deviation 61; five of them.
        assert!(drawn_times.iter().all(|t| t.abs_diff(5000) < 305), "{drawn_times:?}");
    }

    #[test]
    fn draws_all_of_a_small_set_and_none_of_none() {
        let set: Bitmap = [3u32, 5, 2_000_000].into_iter().collect();
        assert_eq!(drawn(&set, 10, 1), [3, 5, 2_000_000]);
        assert_eq!(drawn(&set, 3, 7), [3, 5, 2_000_000]);
        assert!(drawn(&set, 0, 1).is_empty());
        assert!(drawn(&Bitmap::default(), 10, 1).is_empty());
    }
}

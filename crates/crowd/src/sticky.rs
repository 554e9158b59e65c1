//! Users chosen by chance, and the same ones each time: by a hash of their id, which stays when the
//! users are renumbered.
//!
//! The hash is xxh3-64 of the id's UTF-8 bytes, with xxh3-64 of the salt's bytes as its seed. Between
//! equal hashes the order of the ids decides.

use crate::{Error, Result};
use std::collections::BTreeSet;
use taghouse_bitmap::Bitmap;
use taghouse_dictionary::View;
use taghouse_model::Ordinal;
use taghouse_rules::Percent;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The upper bits of hashes by which users are counted before any are chosen.
const BUCKET_BITS: u32 = 16;

/// How many ids are read before somebody looks whether anyone still waits.
const READ_AT_ONCE: usize = 8192;

/// An order of users by chance.
#[derive(Debug, Clone)]
pub(crate) struct StickyOrder {
    seed: u64,
    stop: CancellationToken,
}

impl StickyOrder {
    /// Reading ids ends with an error once `stop` is cancelled.
    pub(crate) fn of(salt: &str, stop: &CancellationToken) -> Self {
        Self { seed: xxh3_64(salt.as_bytes()), stop: stop.clone() }
    }

    fn hash(&self, id: &str) -> u64 {
        xxh3_64_with_seed(id.as_bytes(), self.seed)
    }

    /// The first `count` of these users, or all if there are fewer. Their ids are read twice, so
    /// that what is kept meanwhile are those chosen and few ids.
    pub(crate) fn first(&self, users: &Bitmap, count: u64, dictionary: &View) -> Result<Bitmap> {
        if users.len() <= count {
            return Ok(users.clone());
        }
        let bucket = |hash: u64| (hash >> (u64::BITS - BUCKET_BITS)) as usize;

        // 1. Where the last one chosen lies.
        let mut sizes = vec![0_u64; 1 << BUCKET_BITS];
        self.each(users, dictionary, |hash, _, _| sizes[bucket(hash)] += 1)?;
        let mut before = 0;
        let last = sizes.iter().position(|size| {
            before += size;
            before >= count
        });
        let last = last.unwrap_or(sizes.len());

        // 2. All before its bucket, and the first of its bucket.
        let mut chosen = Bitmap::new();
        let mut edge: BTreeSet<(u64, String, Ordinal)> = BTreeSet::new();
        self.each(users, dictionary, |hash, id, ordinal| match bucket(hash) {
            earlier if earlier < last => _ = chosen.insert(ordinal),
            here if here == last => _ = edge.insert((hash, id, ordinal)),
            _ => {}
        })?;
        let left = usize::try_from(count.saturating_sub(chosen.len())).unwrap_or(usize::MAX);
        for (_, _, ordinal) in edge.into_iter().take(left) {
            chosen.insert(ordinal);
        }
        Ok(chosen)
    }

    /// Those of these users whose hash lies in the first `share` of all hashes.
    pub(crate) fn share(
        &self,
        users: &Bitmap,
        share: Percent,
        dictionary: &View,
    ) -> Result<Bitmap> {
        let below = (u128::from(share.parts_per_100m()) << u64::BITS) / 100_000_000;
        let mut chosen = Bitmap::new();
        self.each(users, dictionary, |hash, _, ordinal| {
            if u128::from(hash) < below {
                chosen.insert(ordinal);
            }
        })?;
        Ok(chosen)
    }

    fn each(
        &self,
        users: &Bitmap,
        dictionary: &View,
        mut visit: impl FnMut(u64, String, Ordinal),
    ) -> Result<()> {
        for (read, found) in dictionary.resolve_sorted(users.iter()).enumerate() {
            if read % READ_AT_ONCE == 0 && self.stop.is_cancelled() {
                return Err(Error::BrokeOff("nobody waits for the crowd any more".to_owned()));
            }
            let (ordinal, id) = found?;
            visit(self.hash(&id), id, ordinal);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taghouse_dictionary::Dictionary;
    use taghouse_model::AppId;

    struct Users {
        _folder: tempfile::TempDir,
        dictionary: Dictionary,
        app: AppId,
    }

    impl Users {
        fn of(ids: impl Iterator<Item = String>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let dictionary = Dictionary::open(folder.path()).unwrap();
            let app = AppId::new("shop").unwrap();
            let ids: Vec<String> = ids.collect();
            dictionary.assign(&app, &ids.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
            Self { _folder: folder, dictionary, app }
        }

        fn view(&self) -> View {
            self.dictionary.view(&self.app, self.dictionary.generation(&self.app)).unwrap()
        }

        fn all(&self) -> Bitmap {
            Bitmap::from_range(0..=self.dictionary.len(&self.app) - 1)
        }

        fn ids(&self, users: &Bitmap) -> BTreeSet<String> {
            self.view().resolve_sorted(users.iter()).map(|found| found.unwrap().1).collect()
        }
    }

    #[test]
    fn the_construction_is_the_one_documented() {
        let order = StickyOrder::of("spring", &CancellationToken::new());
        assert_eq!(order.hash("ann"), xxh3_64_with_seed(b"ann", xxh3_64(b"spring")));
        assert_eq!(
            StickyOrder::of("", &CancellationToken::new()).seed,
            0x2d06_8005_38d3_94c2,
            "xxh3-64 of nothing"
        );
    }

    #[test]
    fn the_same_users_are_chosen_whatever_their_numbers() {
        let up = Users::of((0..5000).map(|n| format!("u{n}")));
        let down = Users::of((0..5000).rev().map(|n| format!("u{n}")));
        let stop = CancellationToken::new();
        let order = StickyOrder::of("a", &stop);
        let sorted = |users: &Users| {
            let mut ids: Vec<String> = users.ids(&users.all()).into_iter().collect();
            ids.sort_by_key(|id| order.hash(id));
            ids
        };
        for count in [0, 1, 2, 77, 2500, 4999, 5000, 6000] {
            let first = order.first(&up.all(), count, &up.view()).unwrap();
            assert_eq!(first.len(), count.min(5000));
            let expected: BTreeSet<String> = sorted(&up).into_iter().take(count as usize).collect();
            assert_eq!(up.ids(&first), expected, "{count}");
            let other = order.first(&down.all(), count, &down.view()).unwrap();
            assert_eq!(down.ids(&other), expected, "{count}");
        }
        let share = |text: &str| Percent::parse(text).unwrap();
        let mut before = Bitmap::new();
        for text in ["0.000001%", "1%", "5%", "10%", "50%", "99.9%", "100%"] {
            let chosen = order.share(&up.all(), share(text), &up.view()).unwrap();
            assert!(before.is_subset(&chosen), "{text}");
            let other = order.share(&down.all(), share(text), &down.view()).unwrap();
            assert_eq!(up.ids(&chosen), down.ids(&other), "{text}");
            before = chosen;
        }
        assert_eq!(before.len(), 5000);
        // 10% of 5,000: 500 with a standard deviation of 21; five of them.
        let tenth = order.share(&up.all(), share("10%"), &up.view()).unwrap();
        assert!(tenth.len().abs_diff(500) < 106, "{}", tenth.len());
        let other = StickyOrder::of("b", &stop);
        let other = other.share(&up.all(), share("10%"), &up.view()).unwrap();
        // Chosen by both: 50 with a standard deviation of 7.
        assert!(tenth.and_len(&other).abs_diff(50) < 36, "{}", tenth.and_len(&other));
        stop.cancel();
        order.first(&up.all(), 10, &up.view()).unwrap_err();
    }
}

//! Of whom rows are read, where it is not everybody.

use hashbrown::HashSet;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Some users, and a share of all.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// These.
    pub users: HashSet<String>,
    /// And who falls into it.
    pub share: Option<Share>,
}

/// A share of all users, by the hash of their ids: the same users for the same seed.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Another seed chooses others.
    pub seed: u64,
    /// How many of 2^64 hashes are chosen.
    pub below: u64,
}

impl Share {
    /// About `some` of `all` users.
    pub fn of(some: u64, all: u64, seed: u64) -> Self {
        let below = u128::from(some) * u128::from(u64::MAX) / u128::from(all.max(1));
        Self { seed, below: u64::try_from(below).unwrap_or(u64::MAX) }
    }
}

impl Chosen {
    pub(crate) fn takes(&self, id: &str) -> bool {
        let in_share = |share: Share| xxh3_64_with_seed(id.as_bytes(), share.seed) < share.below;
        self.users.contains(id) || self.share.is_some_and(in_share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_about_as_many_as_asked_for_and_others_by_another_seed() {
        let of_seed = |seed| {
            let chosen = Chosen { share: Some(Share::of(100, 10_000, seed)), ..Chosen::default() };
            (0..10_000).filter(|n| chosen.takes(&format!("u{n}"))).collect::<Vec<_>>()
        };
        let (one, two) = (of_seed(1), of_seed(2));
        assert!((60..140).contains(&one.len()) && (60..140).contains(&two.len()));
        assert_ne!(one, two);
        assert_eq!(one, of_seed(1));
        let all = Chosen { share: Some(Share::of(7, 0, 1)), ..Chosen::default() };
        assert!((0..100).all(|n| all.takes(&n.to_string())));
    }
}

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What is drawn, each from a stream of its own, so that more of one leaves the others as they
/// were.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    Catalogue = 1,
    Population = 2,
    Sessions = 3,
    Lines = 4,
    Profiles = 5,
}

/// Chance by ChaCha8, whose output is fixed for good. Ranges are drawn by hand, since a library may
/// change how it does that.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64, stream: Stream) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = stream as u8;
        Self(ChaCha8Rng::from_seed(key))
    }

    pub(super) fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number below `n`, which is at least 1. Its bias, `n` in 2^32, is of no matter here.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.word()) * u64::from(n)) >> 32) as u32
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True `in_million` times of a million.
    pub(super) fn chance(&mut self, in_million: u32) -> bool {
        self.below(1_000_000) < in_million
    }

    /// An index into `weights`, each as likely as it is heavy. Their sum is above 0.
    pub(super) fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, &weight) in weights.iter().enumerate() {
            if left < weight {
                return index;
            }
            left -= weight;
        }
        0
    }
}

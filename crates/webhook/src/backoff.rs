//! How long it is waited before something is tried again.

use std::time::Duration;
use taghouse_model::Entropy;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Twice as long after each attempt, up to a minute; less than that by chance, by half at most, so
/// that many who failed together do not come back together.
pub fn backoff(attempts: u32, entropy: &dyn Entropy) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let whole = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let mut bytes = [0; 4];
    entropy.fill(&mut bytes);
    let chance = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
    whole.mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);

    impl Entropy for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        let ms = |attempts, byte| backoff(attempts, &Always(byte)).as_millis();
        assert_eq!([ms(1, 255), ms(2, 255), ms(3, 255)], [500, 1000, 2000]);
        assert_eq!([ms(1, 0), ms(8, 255), ms(u32::MAX, 255)], [250, 60_000, 60_000]);
    }
}

//! Which users a share is of.

use taghouse_model::AppId;
use taghouse_rules::Share;
use xxhash_rust::xxh3::Xxh3;

/// How many buckets there are.
pub(crate) const BUCKETS: u16 = 10_000;

/// Puts the users of an app into [`BUCKETS`] buckets, by a hash of their id: XXH3-64 of the app, what
/// the buckets are for and the crowd, each ended by a byte that is in none of them, and the id.
///
/// A user stays in their bucket, whatever happens to ordinals, and the users of 5% are among those
/// of 10%. Buckets of another crowd, or of another thing, are independent.
#[derive(Clone)]
pub(crate) struct Buckets(Xxh3);

/// Ends a part of what is hashed: no UTF-8 text has it.
const END: u8 = 0xff;

impl Buckets {
    /// Those of a crowd for `what`, such as `rollout`.
    pub(crate) fn of(app: &AppId, what: &str, crowd: &str) -> Self {
        let mut hash = Xxh3::new();
        for part in [app.as_str(), what, crowd] {
            hash.update(part.as_bytes());
            hash.update(&[END]);
        }
        Self(hash)
    }

    /// The bucket of a user, 0 to 9,999.
    pub(crate) fn bucket(&self, user: &str) -> u16 {
        let mut hash = self.0.clone();
        hash.update(user.as_bytes());
        // The high half of a product is even, without a division (Lemire, 2019).
        let product = u128::from(hash.digest()) * u128::from(BUCKETS);
        (product >> 64) as u16
    }

    /// Whether a user is in the share.
    pub(crate) fn holds(&self, share: Share, user: &str) -> bool {
        self.bucket(user) < share.parts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> impl Iterator<Item = String> {
        (0..100_000).map(|n| format!("user-{n}"))
    }

    fn buckets(crowd: &str) -> Buckets {
        Buckets::of(&AppId::new("shop").unwrap(), "rollout", crowd)
    }

    #[test]
    fn a_share_is_as_large_as_it_says() {
        let buckets = buckets("vip");
        for percent in [1, 5, 25, 50, 90] {
            let share = Share::of_10_000(percent * 100).unwrap();
            let found = users().filter(|user| buckets.holds(share, user)).count();
            let wanted = usize::from(percent) * 1000;
            assert!(found.abs_diff(wanted) < 1000, "{found} of 100,000 at {percent}%");
        }
        assert!(!users().any(|user| buckets.holds(Share::NOBODY, &user)));
        assert!(users().all(|user| buckets.holds(Share::EVERYBODY, &user)));
    }

    #[test]
    fn buckets_are_filled_evenly() {
        // A chi-squared test over 100 groups of buckets: 99 degrees of freedom, and 148.2 is the
        // value beyond which one in a thousand even spreads lies.
        let mut groups = [0_f64; 100];
        let buckets = buckets("vip");
        users().for_each(|user| groups[usize::from(buckets.bucket(&user) / 100)] += 1.0);
        let chi: f64 = groups.iter().map(|count| (count - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 148.2, "{chi}");
    }

    #[test]
    fn buckets_of_crowds_are_independent() {
        // Of 10 × 10 groups of two crowds: 81 degrees of freedom, 124.8 for one in a thousand.
        let (one, other) = (buckets("vip"), buckets("vips"));
        let mut groups = [[0_f64; 10]; 10];
        for user in users() {
            let at = |buckets: &Buckets| usize::from(buckets.bucket(&user) / 1000);
            groups[at(&one)][at(&other)] += 1.0;
        }
        let rows: Vec<f64> = groups.iter().map(|row| row.iter().sum()).collect();
        let columns: Vec<f64> = (0..10).map(|at| groups.iter().map(|row| row[at]).sum()).collect();
        let mut chi = 0.0;
        for (row, total) in groups.iter().zip(&rows) {
            for (count, column) in row.iter().zip(&columns) {
                let expected = total * column / 100_000.0;
                chi += (count - expected).powi(2) / expected;
            }
        }
        assert!(chi < 124.8, "{chi}");
    }

    #[test]
    fn parts_are_told_apart() {
        let app = AppId::new("shop").unwrap();
        let of = |what, crowd| Buckets::of(&app, what, crowd).0.digest();
        assert_ne!(of("a", "bc"), of("ab", "c"));
    }

    #[test]
    fn the_bucket_of_a_user_does_not_change_with_the_version_of_the_program() {
        let found: Vec<u16> =
            ["u1", "u2", "Åsa", ""].map(|user| buckets("vip").bucket(user)).into();
        // As another implementation of XXH3 gives them.
        assert_eq!(found, [6046, 6783, 1915, 6820]);
    }
}

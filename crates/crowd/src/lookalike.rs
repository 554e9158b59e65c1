//! Users who are like those of a crowd.
//!
//! Each value of a tag that users of the crowd have more often, or less often, than others do speaks
//! for a user who has it, or against them. How loud is the logarithm of the ratio of the two shares:
//! the weight of evidence (Good, "Weight of evidence: a brief survey", Bayesian Statistics 2 (1985),
//! 249-270). A user's score is the sum of the weights of their values, as naive Bayes has it. Only
//! values count whose ratio differs from 1 beyond chance ([`crate::Interval`]).

use crate::comparison::Sides;
use crate::groups::Groups;
use crate::sticky::StickyOrder;
use crate::{Contrast, Group, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_dictionary::View;
use taghouse_index::{Snapshot, UserSet, overlap};
use taghouse_model::Ordinal;

/// Beyond so many standard errors a ratio is not by chance: two-sided, 5%.
const LEAST_SCORE: f64 = 1.96;

/// The most values that count, the most significant ones.
const MAX_FEATURES: usize = 200;

/// Weights and scores are in thousandths of a natural logarithm.
const UNITS: f64 = 1000.0;

/// Users whose scores are in memory at once.
const USERS_AT_ONCE: u32 = 1 << 22;

/// A value that tells users of a crowd from others.
#[derive(Debug, Clone, PartialEq)]
pub struct Affinity {
    /// How it is spread over the crowd and all others.
    pub contrast: Contrast,
    /// What it adds to the score of a user who has it: the logarithm of the ratio of the shares.
    pub weight: f64,
}

struct Feature {
    weight: i32,
    users: Arc<Bitmap>,
}

/// What tells the users of a crowd from all of a population.
pub(crate) struct Likeness {
    /// The most significant first.
    pub(crate) affinities: Vec<Affinity>,
    features: Vec<Feature>,
}

/// Scores, and how many users have each.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Scores(BTreeMap<i32, u64>);

impl Likeness {
    /// Of these tags the values that tell `seed` from `base`, which contains it.
    ///
    /// # Errors
    /// A tag that the index does not have; of the index.
    pub(crate) fn of(
        snapshot: &Snapshot,
        tags: &[&str],
        seed: &Arc<Bitmap>,
        base: &Arc<Bitmap>,
    ) -> Result<Self> {
        let sides = Sides::of(seed.clone(), base.clone());
        let score = |affinity: &Affinity| affinity.contrast.interval.score.abs();
        let mut found: Vec<(Affinity, UserSet)> = Vec::new();
        for tag in tags {
            let Groups { groups, members } = sides.groups(snapshot, tag)?;
            let rows = [seed, base].map(|set| UserSet::Owned(set.clone()));
            let counts = overlap(&rows, &members, None)?;
            let (of_seed, of_base) = counts.split_at(groups.len());
            for (number, (group, users)) in groups.into_iter().zip(members).enumerate() {
                let counts = Counts { seed: of_seed[number], base: of_base[number] };
                let affinity = counts.affinity(&sides, tag, group);
                if counts.base > 0 && affinity.contrast.interval.score.abs() >= LEAST_SCORE {
                    found.push((affinity, users));
                }
            }
            // After each tag: sets of users are large.
            found.sort_by(|(a, _), (b, _)| score(b).total_cmp(&score(a)));
            found.truncate(MAX_FEATURES);
        }

        let (mut affinities, mut features) = (Vec::new(), Vec::new());
        for (affinity, users) in found {
            let weight = (affinity.weight * UNITS).round() as i32;
            features.push(Feature { weight, users: users.to_bitmap()? });
            affinities.push(affinity);
        }
        Ok(Self { affinities, features })
    }

    /// How many of these users have each score.
    pub(crate) fn scores(&self, users: &Bitmap) -> Scores {
        let mut scores = Scores::default();
        self.each(users, |_, score| *scores.0.entry(score).or_default() += 1);
        scores
    }

    /// At most `count` of these users: those with the highest scores, all above 0. Between equal scores
    /// `ties` decides.
    ///
    /// # Errors
    /// Of the dictionary.
    pub(crate) fn first(
        &self,
        users: &Bitmap,
        count: u64,
        ties: &StickyOrder,
        dictionary: &View,
    ) -> Result<Bitmap> {
        let Some(edge) = self.scores(users).edge(count) else { return Ok(Bitmap::new()) };
        let (mut beyond, mut at_edge) = (Bitmap::new(), Bitmap::new());
        self.each(users, |ordinal, score| {
            if score > edge {
                beyond.insert(ordinal);
            } else if score == edge {
                at_edge.insert(ordinal);
            }
        });
        let left = count.saturating_sub(beyond.len());
        Ok(beyond.or(&ties.first(&at_edge, left, dictionary)?))
    }

    /// Shows each user's score, in the order of their ordinals.
    fn each(&self, users: &Bitmap, mut visit: impl FnMut(Ordinal, i32)) {
        let Some(last) = users.max() else { return };
        let mut first: Ordinal = 0;
        loop {
            let end = first.saturating_add(USERS_AT_ONCE - 1).min(last);
            let here = users.and(&Bitmap::from_range(first..=end));
            if !here.is_empty() {
                let mut scores = vec![0_i32; (end - first) as usize + 1];
                for feature in &self.features {
                    for ordinal in feature.users.and(&here).iter() {
                        scores[(ordinal - first) as usize] += feature.weight;
                    }
                }
                here.iter().for_each(|ordinal| visit(ordinal, scores[(ordinal - first) as usize]));
            }
            if end == last {
                return;
            }
            first = end + 1;
        }
    }
}

/// How many users of the crowd, and of all, have a value.
#[derive(Clone, Copy)]
struct Counts {
    seed: u64,
    base: u64,
}

impl Counts {
    fn affinity(self, sides: &Sides, tag: &str, group: Group) -> Affinity {
        let contrast = sides.contrast_of(tag, group, self.seed, self.base);
        // Half a user more on each side, so that 0 has a logarithm: Haldane, Anscombe; as for the
        // interval.
        let share = |with: u64, of: u64| (with as f64 + 0.5) / (of as f64 + 1.0);
        let ratio = share(self.seed, sides.crowd_len()) / share(self.base, sides.base_len());
        Affinity { contrast, weight: ratio.ln() }
    }
}

impl Scores {
    /// How many users they are of.
    pub(crate) fn users(&self) -> u64 {
        self.0.values().sum()
    }

    /// The lowest score among the `count` highest that are above 0; `None`: there is none.
    pub(crate) fn edge(&self, count: u64) -> Option<i32> {
        let mut before = 0;
        let mut edge = None;
        for (score, users) in self.0.range(1..).rev() {
            if before >= count {
                break;
            }
            edge = Some(*score);
            before += users;
        }
        edge
    }

    /// How many users have this score or more.
    pub(crate) fn from(&self, score: i32) -> u64 {
        self.0.range(score..).map(|(_, users)| users).sum()
    }

    /// The mean of the scores from this one on; `None`: nobody has such a score.
    pub(crate) fn mean_from(&self, score: i32) -> Option<f64> {
        let users = self.from(score);
        let sum: f64 =
            self.0.range(score..).map(|(of, users)| f64::from(*of) * *users as f64).sum();
        (users > 0).then(|| sum / users as f64 / UNITS)
    }

    /// The mean of all; `None`: nobody has a score.
    pub(crate) fn mean(&self) -> Option<f64> {
        self.mean_from(i32::MIN)
    }
}

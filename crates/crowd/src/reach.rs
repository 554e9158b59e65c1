//! How many users one can reach, and how like a crowd they still are.

use crate::lookalike::{Affinity, Likeness};
use crate::{Crowds, Error, Question, Result};
use std::sync::Arc;
use taghouse_disk::blocking;
use taghouse_model::AppId;
use taghouse_rules::Definitions;

/// The most tags of one question.
pub const MAX_LOOKALIKE_TAGS: usize = 100;

/// The shares of the candidates, in percent, of which the curve tells.
const REACHES: [u64; 9] = [1, 2, 5, 10, 15, 20, 30, 50, 100];

/// What users of a crowd have in common, and how many others are like them.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookalikes {
    /// The values that tell them from others, the most significant first.
    pub affinities: Vec<Affinity>,
    /// From the fewest users to the most.
    pub curve: Vec<Reach>,
    /// How many users the crowd has.
    pub seed: u64,
    /// How many others there are.
    pub candidates: u64,
    /// The index's revision that answered.
    pub revision: u64,
}

/// Some of the others: those with the highest scores, above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// How many.
    pub users: u64,
    /// Their share of all others, 0 to 1.
    pub share: f64,
    /// The lowest score among them.
    pub least_score: f64,
    /// Their mean score divided by that of the crowd: 1 is as alike as its own users are.
    pub similarity: f64,
    /// The share of the crowd's own users who have such a score, 0 to 1.
    pub recall: f64,
}

impl Crowds {
    /// The values that tell the users of `seed` from all of `among`, by default everybody, and how
    /// many others are like them.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_LOOKALIKE_TAGS`]; [`Error::UnknownTag`]; [`Error::Argument`] without
    /// a tag; as [`Crowds::count`], for each.
    pub async fn lookalikes(
        &self,
        app: &AppId,
        definitions: &Definitions,
        seed: &Question,
        among: Option<&Question>,
        tags: &[String],
    ) -> Result<Lookalikes> {
        Error::limit("tags to compare by", tags.len(), MAX_LOOKALIKE_TAGS)?;
        if tags.is_empty() {
            return Err(Error::Argument("name at least one tag to compare by".to_owned()));
        }
        let snapshot = self.snapshot(app).await?;
        crate::population::produced(&snapshot, definitions, tags.iter().map(String::as_str))?;
        let seed = self.population_on(snapshot.clone(), app, definitions, Some(seed)).await?;
        let among = self.population_on(snapshot, app, definitions, among).await?;
        let tags = tags.to_vec();
        blocking(move || {
            let (seed_users, among_users) = (seed.set()?, among.set()?);
            let base = Arc::new(among_users.or(&seed_users));
            let candidates = among_users.and_not(&seed_users);
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let likeness = Likeness::of(&seed.snapshot, &tags, &seed_users, &base)?;
            Ok(Lookalikes {
                curve: likeness.curve(&seed_users, &candidates),
                seed: seed_users.len(),
                candidates: candidates.len(),
                revision: seed.snapshot.revision(),
                affinities: likeness.affinities,
            })
        })
        .await
    }
}

impl Likeness {
    fn curve(
        &self,
        seed: &taghouse_bitmap::Bitmap,
        candidates: &taghouse_bitmap::Bitmap,
    ) -> Vec<Reach> {
        let (of_seed, of_others) = (self.scores(seed), self.scores(candidates));
        let Some(own) = of_seed.mean().filter(|mean| *mean > 0.0) else { return Vec::new() };
        let (seed, others) = (of_seed.users(), of_others.users());
        let mut curve: Vec<Reach> = Vec::new();
        for percent in REACHES {
            let Some(edge) = of_others.edge((others * percent).div_ceil(100)) else { break };
            let (users, mean) = (of_others.from(edge), of_others.mean_from(edge).unwrap_or(0.0));
            let reach = Reach {
                users,
                share: users as f64 / others as f64,
                least_score: f64::from(edge) / 1000.0,
                similarity: mean / own,
                recall: of_seed.from(edge) as f64 / seed as f64,
            };
            // Equal scores stay together, so two shares may reach the same users.
            if curve.last().is_none_or(|last| last.users < users) {
                curve.push(reach);
            }
        }
        curve
    }
}

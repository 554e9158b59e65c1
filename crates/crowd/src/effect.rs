//! What became of the arms of a crowd's split: means of a metric, compared.
//!
//! The difference of two means has a normal interval with the variances of both arms (Welch, without
//! the degrees of freedom, which at the sizes of crowds make no difference). With a covariate from
//! before, such as the same metric of the month before, each value is corrected by what that foretold
//! of it, which leaves the mean where it is and makes the interval narrower: CUPED (Deng, Xu, Kohavi,
//! Walker, "Improving the sensitivity of online controlled experiments by utilizing pre-experiment
//! data", WSDM 2013). Whether users came into the arms as they should is told by a chi-squared test
//! (Fabijan and others, "Diagnosing sample ratio mismatch in online controlled experiments", KDD
//! 2019).

use crate::gathered::Gathered;
use crate::moments::Moments;
use crate::split::{buckets, split_of};
use crate::tag_column::TagColumn;
use crate::{Crowds, Error, Question, Result};
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};
use std::collections::BTreeSet;
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_dictionary::View;
use taghouse_disk::blocking;
use taghouse_index::Snapshot;
use taghouse_model::{Name, Ordinal, Value, ValueType};
use taghouse_rules::{CrowdDefinition, CrowdSplit, Definitions, Share};

/// The quantile of the normal distribution that leaves 2.5% above it.
const Z_95: f64 = 1.959_963_984_540_054;

/// Below this, arms as unlike in size are not by chance.
const OFF_BELOW: f64 = 0.001;

/// What to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectRequest {
    /// A tag of numbers. Of who has no value it is 0.
    pub metric: String,
    /// A tag of numbers from before the arms were treated differently, of which the metric is
    /// corrected.
    pub before: Option<String>,
    /// Only these users, such as those who saw what they were to see.
    pub exposed: Option<Question>,
    /// With which arm the others are compared; `None`: the first.
    pub control: Option<String>,
}

/// The arms of a split, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// In the order of the definition.
    pub arms: Vec<ArmEffect>,
    /// The arm that the others are compared with.
    pub control: Name,
    /// The share of the metric's variance that the covariate explains, 0 to 1; `None`: there is none.
    pub explained: Option<f64>,
    /// The probability of arms as unlike in size as these, by chance alone.
    pub ratio_p: f64,
    /// Whether that is too small to be chance: then something is wrong with how users came to be
    /// exposed, and the comparison tells nothing.
    pub ratio_is_off: bool,
    /// The crowd's version whose members are compared; 0 of a live one.
    pub version: u64,
}

/// One arm.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmEffect {
    /// Its name.
    pub arm: Name,
    /// Its share of the members, as it is defined.
    pub share: Share,
    /// How many of them are compared.
    pub users: u64,
    /// The mean of the metric; corrected, if there is a covariate. `None`: there is nobody.
    pub mean: Option<f64>,
    /// How much it is above that of the control; `None` of the control itself, and where one of the
    /// two has fewer than two users.
    pub difference: Option<MeanDifference>,
}

/// How far two means are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanDifference {
    /// The difference.
    pub absolute: f64,
    /// The lower end of its 95% interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The difference divided by the control's mean; `None`: that is 0.
    pub relative: Option<f64>,
    /// The probability of a difference as large, by chance alone.
    pub p: f64,
}

impl Crowds {
    /// Compares the arms of a crowd by a metric, on the newest values.
    ///
    /// # Errors
    /// [`Error::Argument`] for a crowd that is not split, an arm that there is not, and members of
    /// before users were renumbered; [`Error::NotANumber`], [`Error::UnknownTag`]; as
    /// [`Crowds::members`] and [`Crowds::count`].
    pub async fn effect(
        &self,
        definitions: &Definitions,
        crowd: &CrowdDefinition,
        request: &EffectRequest,
    ) -> Result<Effect> {
        let app = &definitions.app.id;
        let split = split_of(crowd)?.clone();
        let control = match &request.control {
            None => split.arms[0].name.clone(),
            Some(name) => split.arm(name).map(|arm| arm.name.clone()).ok_or_else(|| {
                Error::Argument(format!("the crowd {} has no arm `{name}`", crowd.name))
            })?,
        };
        let members = self.members(app, crowd.name.as_str(), None).await?;
        let exposed = self.population(app, definitions, request.exposed.as_ref()).await?;
        for tag in [Some(&request.metric), request.before.as_ref()].into_iter().flatten() {
            crate::population::produced(&exposed.snapshot, definitions, [tag.as_str()])?;
            has_mean(&exposed.column(tag)?)?;
        }
        if exposed.snapshot.generation() != members.version().generation {
            return Err(Error::Argument(format!(
                "the users were renumbered since version {} of crowd {}: compute it again",
                members.version().version,
                crowd.name
            )));
        }
        let (request, version) = (request.clone(), members.version().version);
        let hashes = buckets(app, &split);
        blocking(move || {
            let compared = members.set().and(exposed.set()?.as_ref());
            let bucket = |id: &str| hashes.bucket(id);
            let arms = arms(&split, &compared, members.dictionary(), &bucket)?;
            let values = Values::read(&exposed.snapshot, &request, &arms)?;
            Ok(values.effect(&split, control, version))
        })
        .await
    }
}

/// The users of each arm. Ids are read once.
fn arms(
    split: &CrowdSplit,
    users: &Bitmap,
    dictionary: &View,
    bucket: &dyn Fn(&str) -> u16,
) -> Result<Vec<Bitmap>> {
    let mut arms: Vec<Vec<Ordinal>> = vec![Vec::new(); split.arms.len()];
    for found in dictionary.resolve_sorted(users.iter()) {
        let (ordinal, id) = found?;
        let own = split.arm_of(bucket(&id)).map(|arm| &arm.name);
        let place = own.and_then(|own| split.arms.iter().position(|arm| arm.name == *own));
        if let Some(place) = place {
            arms[place].push(ordinal);
        }
    }
    Ok(arms.iter().map(|ordinals| Bitmap::from_sorted(ordinals)).collect())
}

/// The moments of the metric and the covariate, arm by arm.
struct Values {
    arms: Vec<Moments>,
    has_covariate: bool,
}

impl Values {
    fn read(snapshot: &Arc<Snapshot>, request: &EffectRequest, arms: &[Bitmap]) -> Result<Self> {
        let metric = request.metric.as_str();
        let before = request.before.as_deref();
        let names: BTreeSet<&str> = [Some(metric), before].into_iter().flatten().collect();
        let mut moments = Vec::new();
        for arm in arms {
            let mut gathered = Gathered::of(snapshot, &names, arm)?;
            let mut of_arm = Moments::default();
            for ordinal in arm.iter() {
                gathered.go_to(ordinal)?;
                let number = |name: &str| gathered.value(name).as_ref().map_or(0.0, number);
                of_arm.add(number(metric), before.map_or(0.0, number));
            }
            moments.push(of_arm);
        }
        Ok(Self { arms: moments, has_covariate: before.is_some() })
    }

    fn effect(self, split: &CrowdSplit, control: Name, version: u64) -> Effect {
        // One factor for all arms, or the correction would be a difference of its own.
        let all = self.arms.iter().fold(Moments::default(), |all, arm| all.with(arm));
        let factor = if self.has_covariate { all.slope() } else { 0.0 };
        let means: Vec<Mean> =
            self.arms.iter().map(|arm| Mean::of(arm, factor, all.mean_x())).collect();
        let own = split.arms.iter().position(|arm| arm.name == control);
        let own = own.and_then(|place| means.get(place)).copied().unwrap_or_default();
        let compared = split.arms.iter().zip(&means).zip(&self.arms);
        let arms = compared
            .map(|((arm, mean), moments)| ArmEffect {
                arm: arm.name.clone(),
                share: arm.share,
                users: moments.count(),
                mean: (moments.count() > 0).then_some(mean.mean),
                difference: if arm.name == control { None } else { mean.minus(&own) },
            })
            .collect();
        let sizes: Vec<u64> = self.arms.iter().map(Moments::count).collect();
        let shares: Vec<Share> = split.arms.iter().map(|arm| arm.share).collect();
        let ratio_p = ratio_p(&sizes, &shares);
        Effect {
            arms,
            control,
            explained: self.has_covariate.then(|| all.explained()),
            ratio_p,
            ratio_is_off: ratio_p < OFF_BELOW,
            version,
        }
    }
}

/// A number as it is written: of a decimal, its value and not its units. Yes counts as 1.
fn number(value: &Value) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Decimal(number) => f64::try_from(*number).unwrap_or(0.0),
        Value::Bool(yes) => f64::from(u8::from(*yes)),
        _ => 0.0,
    }
}

/// Fails unless there is a mean of a tag's values.
fn has_mean(column: &TagColumn) -> Result<()> {
    match column.value_type {
        ValueType::Int | ValueType::Decimal { .. } | ValueType::Bool => Ok(()),
        value_type => Err(Error::NotANumber {
            tag: column.tag.clone(),
            value_type,
            asked: "a comparison of means",
        }),
    }
}

/// A mean, and how far it may be off.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    mean: f64,
    /// The variance of the mean; `None`: of fewer than two values.
    variance: Option<f64>,
}

impl Mean {
    /// Corrected by a factor of how far the covariate is from its mean over all arms.
    fn of(moments: &Moments, factor: f64, mean_x: f64) -> Self {
        let mean = moments.mean_y() - factor * (moments.mean_x() - mean_x);
        let variance = moments.corrected_variance(factor);
        Self { mean, variance: variance.map(|of| of / moments.count() as f64) }
    }

    fn minus(&self, control: &Self) -> Option<MeanDifference> {
        let error = (self.variance? + control.variance?).sqrt();
        let absolute = self.mean - control.mean;
        let p = match (error > 0.0, Normal::standard()) {
            (true, normal) => 2.0 * normal.sf((absolute / error).abs()),
            (false, _) if absolute == 0.0 => 1.0,
            (false, _) => 0.0,
        };
        Some(MeanDifference {
            absolute,
            low: absolute - Z_95 * error,
            high: absolute + Z_95 * error,
            relative: (control.mean != 0.0).then(|| absolute / control.mean),
            p,
        })
    }
}

/// The probability of arms of these sizes or more unlike ones, if users come into them by their
/// shares.
fn ratio_p(sizes: &[u64], shares: &[Share]) -> f64 {
    let all: u64 = sizes.iter().sum();
    let parts: u64 = shares.iter().map(|share| u64::from(share.parts())).sum();
    if all == 0 || parts == 0 {
        return 1.0;
    }
    let expected = |share: &Share| all as f64 * f64::from(share.parts()) / parts as f64;
    let off = |(size, share): (&u64, &Share)| {
        let expected = expected(share);
        (*size as f64 - expected).powi(2) / expected
    };
    let chi: f64 = sizes.iter().zip(shares).map(off).sum();
    ChiSquared::new((sizes.len() - 1) as f64).map_or(1.0, |of| of.sf(chi))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_as_unlike_as_chance_makes_them_are_right_and_others_are_off() {
        let shares = [5000, 5000].map(|parts| Share::of_10_000(parts).unwrap());
        // As R's chisq.test gives them.
        for (sizes, p) in [([500, 500], 1.0), ([520, 480], 0.2059), ([600, 400], 2.540e-10)] {
            let found = ratio_p(&sizes, &shares);
            assert!((found - p).abs() < p * 0.01, "{sizes:?}: {found}");
        }
        assert_eq!(ratio_p(&[0, 0], &shares), 1.0);
    }

    #[test]
    fn a_difference_is_that_of_welch() {
        let moments = |values: &[f64]| {
            let mut moments = Moments::default();
            values.iter().for_each(|value| moments.add(*value, 0.0));
            moments
        };
        let mean = |values: &[f64]| Mean::of(&moments(values), 0.0, 0.0);
        let found = mean(&[3.0, 5.0, 7.0]).minus(&mean(&[1.0, 2.0, 3.0, 2.0])).unwrap();
        // Means 5 and 2, variances 4 and 2/3: 4/3 + 1/6 = 1.5, whose root is 1.224745.
        assert_eq!((found.absolute, found.relative), (3.0, Some(1.5)));
        assert!((found.low - (3.0 - 1.959_964 * 1.224_745)).abs() < 1e-5, "{found:?}");
        assert!((found.p - 0.014_305_88).abs() < 1e-6, "{found:?}");
        assert_eq!(mean(&[3.0]).minus(&mean(&[1.0, 2.0])), None);
    }
}

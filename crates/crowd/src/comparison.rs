use crate::groups::{Groups, MAX_GROUPS, ranges};
use crate::numbers::UnitRange;
use crate::population::produced;
use crate::ratio::{Interval, Proportion, Proportions};
use crate::tag_column::TagColumn;
use crate::top::share;
use crate::{Axis, Buckets, Crowds, Error, Group, Question, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_index::{Snapshot, UserSet, overlap};
use taghouse_model::{AppId, Value};
use taghouse_rules::Definitions;

/// The most tags of one comparison.
pub const MAX_COMPARED_TAGS: usize = 100;
/// The most values that one comparison lists.
pub const MAX_CONTRASTS: usize = 10_000;
/// Buckets of a number, cut at quantiles of the base.
const NUMBER_BUCKETS: usize = 10;

/// The order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CompareOrder {
    /// The most significant difference from the base first, above or below: by the distance of the
    /// ratio's logarithm from 0 in standard errors.
    #[default]
    Significance,
    /// The highest index first. Values that nobody in the base has come before all others.
    Index,
}

/// How a value is spread over the crowd and its base.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// Name of the tag.
    pub tag: String,
    /// A value, or a bucket of a number.
    pub group: Group,
    /// How many users of the crowd have it.
    pub crowd_users: u64,
    /// How many users of the base have it.
    pub base_users: u64,
    /// Their share of the crowd, 0 to 1.
    pub crowd_share: f64,
    /// Their share of the base, 0 to 1.
    pub base_share: f64,
    /// The share of the crowd divided by that of the base, with a 95% interval. Times 100 it is
    /// the target group index (TGI).
    pub interval: Interval,
}

/// A crowd compared with its base.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// In the order asked for.
    pub contrasts: Vec<Contrast>,
    /// How many values had enough users, listed or not.
    pub found: usize,
    /// How many users are in the crowd.
    pub crowd: u64,
    /// How many are in the base.
    pub base: u64,
    /// How many are in both.
    pub both: u64,
    /// The index's revision that answered.
    pub revision: u64,
}

/// What is asked of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompareRequest {
    /// The tags, up to [`MAX_COMPARED_TAGS`]. Numbers are cut at the deciles of the base.
    pub tags: Vec<String>,
    /// Values with fewer users in the base are left out.
    pub min_users: u64,
    /// The order of the list.
    pub order: CompareOrder,
    /// How many values are listed, up to [`MAX_CONTRASTS`].
    pub limit: usize,
}

impl Crowds {
    /// The values that are more or less frequent among the users of a crowd than among those of its
    /// base, by default all users. The base may contain the crowd, overlap it, or neither.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_COMPARED_TAGS`] and [`MAX_CONTRASTS`]; [`Error::UnknownTag`]; as
    /// [`Crowds::count`], for each.
    pub async fn compare(
        &self,
        app: &AppId,
        definitions: &Definitions,
        crowd: &Question,
        base: Option<&Question>,
        request: &CompareRequest,
    ) -> Result<Comparison> {
        Error::limit("tags to compare", request.tags.len(), MAX_COMPARED_TAGS)?;
        Error::limit("values", request.limit, MAX_CONTRASTS)?;
        let snapshot = self.snapshot(app).await?;
        let crowd =
            self.population_on(Arc::clone(&snapshot), app, definitions, Some(crowd)).await?;
        produced(&snapshot, definitions, request.tags.iter().map(String::as_str))?;
        let base = self.population_on(snapshot, app, definitions, base).await?;
        let request = request.clone();
        blocking(move || {
            let snapshot = &crowd.snapshot;
            let sides = Sides::of(crowd.set()?, base.set()?);
            let mut contrasts = Vec::new();
            for tag in &request.tags {
                contrasts.extend(
                    sides
                        .contrasts(snapshot, tag)?
                        .into_iter()
                        .filter(|found| found.base_users >= request.min_users),
                );
            }
            match request.order {
                CompareOrder::Significance => contrasts
                    .sort_by(|a, b| b.interval.score.abs().total_cmp(&a.interval.score.abs())),
                CompareOrder::Index => contrasts.sort_by(|a, b| index(b).total_cmp(&index(a))),
            }
            let found = contrasts.len();
            contrasts.truncate(request.limit);
            let [crowd, base, both] = [&sides.crowd, &sides.base, &sides.both].map(|set| set.len());
            Ok(Comparison { contrasts, found, crowd, base, both, revision: snapshot.revision() })
        })
        .await
    }
}

fn index(contrast: &Contrast) -> f64 {
    contrast.interval.ratio.unwrap_or(f64::INFINITY)
}

/// How many users of the crowd, of its base and of both have a value.
#[derive(Clone, Copy)]
struct SideCounts {
    crowd: u64,
    base: u64,
    both: u64,
}

/// A crowd, its base, and the users in both.
pub(crate) struct Sides {
    crowd: Arc<Bitmap>,
    base: Arc<Bitmap>,
    both: Arc<Bitmap>,
}

impl Sides {
    pub(crate) fn of(crowd: Arc<Bitmap>, base: Arc<Bitmap>) -> Self {
        let both =
            if crowd.is_subset(&base) { Arc::clone(&crowd) } else { Arc::new(crowd.and(&base)) };
        Self { crowd, base, both }
    }

    /// Every value that a user of the crowd or the base has.
    fn contrasts(&self, snapshot: &Snapshot, tag: &str) -> Result<Vec<Contrast>> {
        let Groups { groups, members } = self.groups(snapshot, tag)?;
        let rows = [&self.crowd, &self.base, &self.both].map(|set| UserSet::Owned(Arc::clone(set)));
        let distinct = if Arc::ptr_eq(&self.crowd, &self.both) { 2 } else { 3 };
        let counts = overlap(&rows[..distinct], &members, None)?;
        let row =
            |number: usize| counts.iter().skip(number * groups.len()).take(groups.len()).copied();
        let both = row(if distinct == 3 { 2 } else { 0 });
        let counts = row(0).zip(row(1)).zip(both).map(|((crowd, base), both)| SideCounts {
            crowd,
            base,
            both,
        });
        Ok(groups
            .iter()
            .zip(counts)
            .filter(|(_, counts)| counts.crowd + counts.base > 0)
            .map(|(group, counts)| self.contrast(tag, group.clone(), counts))
            .collect())
    }

    /// The values of a tag, or ranges of its numbers, with their users.
    pub(crate) fn groups(&self, snapshot: &Snapshot, tag: &str) -> Result<Groups> {
        let column = TagColumn::of(snapshot, tag)?;
        if !column.value_type.is_number() {
            let (values, members): (Vec<Value>, Vec<UserSet>) = column.sets()?.into_iter().unzip();
            return Ok(Groups { groups: values.into_iter().map(Group::Value).collect(), members });
        }
        let deciles = Axis {
            tag: tag.to_owned(),
            limit: NUMBER_BUCKETS.min(MAX_GROUPS),
            buckets: Buckets::Quantiles,
        };
        let mut ranges = ranges(&column.numbers(&self.base)?, &deciles)?;
        // Numbers of the crowd outside of the base's range belong to the outer buckets.
        if let Some(UnitRange { low, high }) = column.numbers(&self.crowd)?.bounds()? {
            if let Some(first) = ranges.first_mut() {
                first.low = first.low.min(low);
            }
            if let Some(last) = ranges.last_mut() {
                last.high = last.high.max(high);
            }
        }
        Groups::of_ranges(snapshot, &column, &ranges)
    }

    /// How many users the crowd has.
    pub(crate) fn crowd_len(&self) -> u64 {
        self.crowd.len()
    }

    /// How many the base has.
    pub(crate) fn base_len(&self) -> u64 {
        self.base.len()
    }

    /// A value that so many users of a crowd, and of the base around it, have.
    pub(crate) fn contrast_of(&self, tag: &str, group: Group, crowd: u64, base: u64) -> Contrast {
        self.contrast(tag, group, SideCounts { crowd, base, both: crowd })
    }

    fn contrast(&self, tag: &str, group: Group, counts: SideCounts) -> Contrast {
        let SideCounts { crowd, base, both } = counts;
        let of_both = self.both.len();
        let proportions = Proportions {
            crowd_only: Proportion { with: crowd - both, of: self.crowd.len() - of_both },
            both: Proportion { with: both, of: of_both },
            base_only: Proportion { with: base - both, of: self.base.len() - of_both },
        };
        Contrast {
            tag: tag.to_owned(),
            group,
            crowd_users: crowd,
            base_users: base,
            crowd_share: share(crowd, self.crowd.len()),
            base_share: share(base, self.base.len()),
            interval: proportions.interval(),
        }
    }
}

use super::Tag;
use crate::error::{Error, Result};
use std::ops::Range;
use std::sync::Arc;
use taghouse_model::ValueType;

/// All tags as they are in the end: every value of every tag has a place, by tag and then by text.
pub(super) struct LoadPlan {
    pub(super) tags: Vec<PlannedTag>,
    /// The number of each place's value in order of appearance: its tag's `first` and its code.
    pub(super) numbers: Vec<u32>,
    /// Each tag's first place.
    pub(super) firsts: Vec<u32>,
}

pub(super) struct PlannedTag {
    pub(super) name: String,
    pub(super) value_type: ValueType,
    /// All of them, sorted.
    pub(super) texts: Vec<Arc<str>>,
    /// None of a tag of numbers.
    pub(super) places: Range<u32>,
    /// The least and the greatest number that was given.
    pub(super) bounds: Option<(i64, i64)>,
}

impl LoadPlan {
    pub(super) fn new(tags: &[Arc<Tag>]) -> Result<Self> {
        let mut plan = Self {
            tags: Vec::with_capacity(tags.len()),
            numbers: Vec::new(),
            firsts: Vec::with_capacity(tags.len()),
        };
        for tag in tags {
            let (seen, texts) = (*tag.seen.lock(), tag.texts.lock().all.clone());
            let codes = if tag.value_type == ValueType::Bool { 2 } else { texts.len() as u32 };
            if seen.codes > codes {
                let problem =
                    format!("code {} of tag {} stands for no text", seen.codes - 1, tag.name);
                return Err(Error::Value { value_type: tag.value_type, problem });
            }
            let first = plan.numbers.len() as u32;
            let end = first.checked_add(codes).ok_or_else(|| {
                Error::Internal("2^32 values in one loader: load fewer tags".to_owned())
            })?;
            plan.numbers.extend(first..end);
            plan.numbers[first as usize..].sort_unstable_by(|a, b| {
                match (texts.get((a - first) as usize), texts.get((b - first) as usize)) {
                    (Some(a), Some(b)) => a.cmp(b),
                    _ => a.cmp(b),
                }
            });
            let sorted = if texts.is_empty() {
                Vec::new()
            } else {
                plan.numbers[first as usize..]
                    .iter()
                    .map(|number| texts[(number - first) as usize].clone())
                    .collect()
            };
            plan.firsts.push(first);
            plan.tags.push(PlannedTag {
                name: tag.name.clone(),
                value_type: tag.value_type,
                texts: sorted,
                places: first..end,
                bounds: seen.bounds,
            });
        }
        Ok(plan)
    }

    /// The number of a tag's code.
    pub(super) fn number_of(&self, (tag, code): (usize, u32)) -> u32 {
        self.firsts[tag] + code
    }

    /// The places of some consecutive tags.
    pub(super) fn places_of(&self, tags: &Range<usize>) -> Range<usize> {
        let of_tags = &self.tags[tags.clone()];
        let (first, last) = (of_tags.first(), of_tags.last());
        first.map_or(0, |tag| tag.places.start as usize)
            ..last.map_or(0, |tag| tag.places.end as usize)
    }

    /// The tag of a place, which is at or after the places of tag `from`.
    pub(super) fn tag_of(&self, place: u32, from: usize) -> usize {
        from + self.tags[from..].iter().position(|tag| tag.places.contains(&place)).unwrap_or(0)
    }
}

//! Merges what is published and what is prepared into the next cut over all tags.

use super::prepared::{Onto, Prepared, PreparedTag, Scope};
use crate::apps::Known;
use crate::error::{Error, Result};
use crate::manifest::{Manifest, TagEntry};
use std::collections::{BTreeMap, BTreeSet};
use taghouse_bitmap::Bitmap;
use taghouse_model::{Name, ValueType};

/// The next cut, or the reason why there is none yet.
pub(super) enum Merged {
    /// Ready for the pointer, except for its users.
    Ready(Ready),
    /// Live changes were flushed into these tags that the prepared segments do not hold.
    Behind(Vec<Behind>),
}

pub(super) struct Ready {
    pub(super) manifest: Manifest,
    /// Objects of tags that were left out.
    pub(super) spare: BTreeSet<String>,
    /// Users who no longer exist.
    pub(super) remove: Bitmap,
}

/// A prepared tag whose segment lacks changes that were flushed.
#[derive(Debug, Clone)]
pub(crate) struct Behind {
    pub(crate) name: Name,
    pub(crate) value_type: ValueType,
    /// The changes later than this one…
    pub(crate) after: u64,
    /// …up to this one.
    pub(crate) through: u64,
}

/// Tags that are not named stay as they are, if their ordinals mean the same. `log_end` is where
/// the log of live changes ends.
pub(super) fn merge(before: &Known, prepared: &Prepared, log_end: u64) -> Result<Merged> {
    let (generation, current) = (prepared.generation, before.manifest.generation);
    if generation < current {
        return Err(Error::Generation { of: generation, current });
    }
    let mut tags =
        if generation == current { before.manifest.tags.clone() } else { BTreeMap::new() };
    prepared.drop.iter().for_each(|name| {
        tags.remove(name);
    });
    let (mut behind, mut spare) = (Vec::new(), BTreeSet::new());
    for tag in &prepared.tags {
        if !may_replace(tags.get(&tag.name), tag)? {
            spare.insert(tag.entry.object.clone());
            continue;
        }
        match flushed_through(tags.get(&tag.name), log_end, tag)? {
            Ok(flushed_through) => drop(
                tags.insert(tag.name.clone(), TagEntry { flushed_through, ..tag.entry.clone() }),
            ),
            Err(lacks) => behind.push(lacks),
        }
    }
    if !behind.is_empty() {
        return Ok(Merged::Behind(behind));
    }
    let remove = match &prepared.scope {
        Scope::Flush { basis, remove } if spare.is_empty() => {
            let flushed = |name: &Name| prepared.tags.iter().any(|tag| tag.name == *name);
            let same = |name: &Name, entry: &TagEntry| {
                basis.tags.get(name).is_some_and(|tag| tag.info.object == entry.object)
            };
            // Another publication may have brought the users back into a segment, where they must
            // stay hidden.
            let held = tags
                .iter()
                .any(|(name, entry)| entry.users > 0 && !flushed(name) && !same(name, entry));
            if held { Bitmap::new() } else { remove.clone() }
        }
        _ => Bitmap::new(),
    };
    Ok(Merged::Ready(Ready {
        manifest: Manifest { generation, tags, ..Manifest::default() },
        spare,
        remove,
    }))
}

fn may_replace(known: Option<&TagEntry>, tag: &PreparedTag) -> Result<bool> {
    match (&tag.onto, known) {
        (Onto::Anything, _) | (Onto::Nothing, None) => Ok(true),
        (Onto::Object(object), known) => Ok(known.is_some_and(|known| known.object == *object)),
        (Onto::Nothing, Some(known)) if known.value_type == tag.entry.value_type => Ok(false),
        (Onto::Nothing, Some(known)) => {
            let problem = format!("it holds {} values already", known.value_type);
            Err(Error::Publication { tag: tag.name.to_string(), problem })
        }
    }
}

/// Up to which position of the log a tag's new segment holds the live changes, or makes them void;
/// or which ones it lacks.
fn flushed_through(
    known: Option<&TagEntry>,
    log_end: u64,
    tag: &PreparedTag,
) -> Result<std::result::Result<u64, Behind>> {
    let Some(known) = known.filter(|known| known.value_type == tag.entry.value_type) else {
        // What was logged for a tag of another type, or for one that was dropped since, is not for
        // this one.
        return Ok(Ok(log_end));
    };
    match tag.flushed_through {
        None => Ok(Ok(known.flushed_through)),
        Some(position) if position > log_end => {
            let problem =
                format!("it holds live changes up to {position}, the log ends at {log_end}");
            Err(Error::Publication { tag: tag.name.to_string(), problem })
        }
        Some(after) if after < known.flushed_through => Ok(Err(Behind {
            name: tag.name.clone(),
            value_type: known.value_type,
            after,
            through: known.flushed_through,
        })),
        Some(position) => Ok(Ok(position)),
    }
}

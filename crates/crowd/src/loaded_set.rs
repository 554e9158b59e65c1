//! One set of members in memory.

use crate::set_bytes::{Mapped, SetBytes};
use crate::{Error, Result};
use arc_swap::ArcSwapOption;
use std::sync::{Arc, OnceLock};
use taghouse_bitmap::{Bitmap, Stored};
use taghouse_index::{UserSet, overlap};
use taghouse_model::Ordinal;

/// The members of a version as stored. They are unpacked once somebody needs more than single
/// look-ups.
pub(crate) struct LoadedSet {
    stored: Stored,
    bitmap: OnceLock<Arc<Bitmap>>,
    /// The result for the deleted users last asked for. In a generation, deleted users only become
    /// more.
    without: ArcSwapOption<Without>,
    _mapped: Mapped,
}

/// What is left of a set without deleted users.
struct Without {
    deleted: Arc<Bitmap>,
    members: u64,
    /// Unpacked when somebody needs it.
    bitmap: OnceLock<Arc<Bitmap>>,
}

impl LoadedSet {
    /// Verifies all of an object that must have `size` members: not for a thread that answers
    /// requests.
    pub(crate) fn read(object: &str, bytes: SetBytes, size: u64) -> Result<Self> {
        let (bytes, mapped) = bytes.into_parts();
        let stored = Bitmap::open(bytes).map_err(|e| match e {
            taghouse_bitmap::Error::Corrupt { detail, .. } => Error::corrupt(object, detail),
            other => other.into(),
        })?;
        if stored.len() != size {
            return Err(Error::corrupt(
                object,
                format!("it has {} members, its version says {size}", stored.len()),
            ));
        }
        let (bitmap, without) = (OnceLock::new(), ArcSwapOption::empty());
        Ok(Self { stored, bitmap, without, _mapped: mapped })
    }

    /// Whether a user is stored as a member.
    pub(crate) fn contains(&self, ordinal: Ordinal) -> Result<bool> {
        Ok(self.stored.contains(ordinal)?)
    }

    /// How many members are not among `deleted`: not on a thread that answers requests, the first
    /// time.
    pub(crate) fn len_without(&self, deleted: Option<&Arc<Bitmap>>) -> Result<u64> {
        deleted.map_or(Ok(self.stored.len()), |deleted| Ok(self.without(deleted)?.members))
    }

    /// The members that are not among `deleted`, unpacked at the first call: not on a thread that
    /// answers requests.
    pub(crate) fn bitmap_without(&self, deleted: Option<&Arc<Bitmap>>) -> Result<Arc<Bitmap>> {
        let Some(deleted) = deleted else { return self.bitmap() };
        let without = self.without(deleted)?;
        if without.members == self.stored.len() {
            return self.bitmap();
        }
        let left =
            || -> Result<Arc<Bitmap>> { Ok(Arc::new(self.stored.to_bitmap()?.and_not(deleted))) };
        match without.bitmap.get() {
            Some(bitmap) => Ok(bitmap.clone()),
            None => {
                let left = left()?;
                Ok(without.bitmap.get_or_init(|| left).clone())
            }
        }
    }

    fn without(&self, deleted: &Arc<Bitmap>) -> Result<Arc<Without>> {
        if let Some(known) =
            self.without.load_full().filter(|known| Arc::ptr_eq(&known.deleted, deleted))
        {
            return Ok(known);
        }
        let shared = overlap(
            &[UserSet::Owned(deleted.clone())],
            &[UserSet::Stored(self.stored.clone())],
            None,
        )?;
        let members = self.stored.len() - shared.iter().sum::<u64>();
        let without =
            Arc::new(Without { deleted: deleted.clone(), members, bitmap: OnceLock::new() });
        self.without.store(Some(without.clone()));
        Ok(without)
    }

    fn bitmap(&self) -> Result<Arc<Bitmap>> {
        if let Some(bitmap) = self.bitmap.get() {
            return Ok(bitmap.clone());
        }
        let unpacked = Arc::new(self.stored.to_bitmap()?);
        Ok(self.bitmap.get_or_init(|| unpacked).clone())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bytes::Bytes;

    pub(crate) fn set(members: &[u32]) -> Arc<LoadedSet> {
        let bytes = members.iter().copied().collect::<Bitmap>().to_bytes().unwrap();
        Arc::new(LoadedSet::read("a", Bytes::from(bytes).into(), members.len() as u64).unwrap())
    }

    #[test]
    fn members_without_the_deleted() {
        let set = set(&[1, 5, 2_000_000]);
        let deleted = |of: &[u32]| Arc::new(of.iter().copied().collect::<Bitmap>());
        for (deleted_users, left) in [
            (vec![], vec![1, 5, 2_000_000]),
            (vec![3], vec![1, 5, 2_000_000]),
            (vec![5, 3], vec![1, 2_000_000]),
        ] {
            let users = deleted(&deleted_users);
            assert_eq!(set.len_without(Some(&users)).unwrap(), left.len() as u64);
            assert_eq!(set.bitmap_without(Some(&users)).unwrap().iter().collect::<Vec<_>>(), left);
        }
        assert_eq!(set.len_without(None).unwrap(), 3);
        assert_eq!(set.bitmap_without(None).unwrap().len(), 3);
    }
}

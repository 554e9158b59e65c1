//! Who entered and who left a crowd between two of its versions.

use crate::parts::part_changes;
use crate::sample::drawn;
use crate::{CrowdMembers, CrowdVersion, Crowds, Error, MAX_SAMPLE, PartChange, Result};
use taghouse_disk::blocking;
use taghouse_model::AppId;

/// What two versions of a crowd differ by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The version that is compared with.
    pub from: CrowdVersion,
    /// The version that is compared.
    pub to: CrowdVersion,
    /// Members of `to` who are not in `from`.
    pub entered: Moved,
    /// Members of `from` who are not in `to`.
    pub left: Moved,
    /// The parts of their rule; empty where their rules differ, or nothing was noted.
    pub parts: Vec<PartChange>,
}

impl Difference {
    /// The condition whose number of users moved most; `None`: none did, or nothing is known.
    pub fn moved_most(&self) -> Option<&PartChange> {
        let conditions =
            self.parts.iter().filter(|part| !part.tags.is_empty() || !part.crowds.is_empty());
        let moved = conditions.filter(|part| part.from != part.to);
        // Of several that moved alike the first.
        moved.rev().max_by_key(|part| part.from.abs_diff(part.to))
    }
}

/// Users who entered, or who left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// How many.
    pub count: u64,
    /// Some of them, drawn by chance, in the order of their ordinals.
    pub sample: Vec<String>,
}

impl Crowds {
    /// Who entered and left between two kept versions, with samples of so many users. The same seed
    /// gives the same samples.
    ///
    /// # Errors
    /// [`Error::Limit`] over [`MAX_SAMPLE`]; [`Error::Argument`] for versions from before and after
    /// the users were renumbered; as [`Crowds::members`].
    pub async fn difference(
        &self,
        app: &AppId,
        crowd: &str,
        [from, to]: [Option<u64>; 2],
        size: usize,
        seed: u64,
    ) -> Result<Difference> {
        Error::limit("users", size, MAX_SAMPLE)?;
        let from = self.members(app, crowd, from).await?;
        let to = self.members(app, crowd, to).await?;
        let (entered, left) = (to.without(&from), from.without(&to));
        let (Some(entered), Some(left)) = (entered, left) else {
            let (from, to) = (from.version().version, to.version().version);
            return Err(Error::Argument(format!(
                "the users were renumbered between versions {from} and {to} of crowd {crowd}, so nobody knows who entered: compare newer ones"
            )));
        };
        blocking(move || {
            Ok(Difference {
                from: from.version().clone(),
                to: to.version().clone(),
                entered: entered.moved(size, seed)?,
                left: left.moved(size, seed)?,
                parts: part_changes(from.version(), to.version()),
            })
        })
        .await
    }
}

impl CrowdMembers {
    fn moved(&self, size: usize, seed: u64) -> Result<Moved> {
        Ok(Moved { count: self.len(), sample: self.resolve(&drawn(self.set(), size, seed))? })
    }
}

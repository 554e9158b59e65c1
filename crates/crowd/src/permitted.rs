//! Members who may be sent to others: none whom a crowd excludes, none who did not consent.

use crate::ids::resolved;
use crate::tag_column::TagColumn;
use crate::{CrowdMembers, Crowds, Error, Result};
use std::sync::Arc;
use taghouse_bitmap::Bitmap;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Name, Ordinal, Value};

/// How often the sets are read again when the users are renumbered in between.
const ATTEMPTS: usize = 5;

/// Members who may be sent.
pub struct Permitted {
    /// Those who may.
    pub members: CrowdMembers,
    /// How many may not, for a crowd excludes them.
    pub suppressed: u64,
    /// How many of the others may not, for they did not consent.
    pub without_consent: u64,
}

/// Who may be sent.
#[derive(Clone, Default)]
pub struct Permission {
    /// Crowds that exclude their members.
    pub unless: Vec<Name>,
    /// A tag that must be true.
    pub consent: Option<Name>,
}

/// Some members.
pub struct MemberPage {
    /// In ascending order.
    pub ordinals: Vec<Ordinal>,
    /// Their ids, in the same order.
    pub ids: Vec<String>,
    /// Where the next page begins; `None`: this is the last.
    pub next: Option<Ordinal>,
}

impl Crowds {
    /// The members of a crowd's current version who may be sent, as crowds and consents are now.
    ///
    /// # Errors
    /// As [`Crowds::members`]; [`Error::UnknownTag`]; [`Error::Contended`] while the users are being
    /// renumbered.
    pub async fn permitted(
        &self,
        app: &AppId,
        crowd: &str,
        permission: &Permission,
    ) -> Result<Permitted> {
        for _ in 0..ATTEMPTS {
            let members = self.members(app, crowd, None).await?;
            if let Some(permitted) = self.permitted_of(app, members, permission).await? {
                return Ok(permitted);
            }
        }
        Err(Error::Contended { crowd: crowd.to_owned() })
    }

    /// Those of these members who may be sent, as crowds and consents are now; `None`: the users were
    /// renumbered since.
    ///
    /// # Errors
    /// As [`Crowds::permitted`].
    pub async fn permitted_of(
        &self,
        app: &AppId,
        members: CrowdMembers,
        permission: &Permission,
    ) -> Result<Option<Permitted>> {
        let generation = members.version().generation;
        let mut excluded = Vec::new();
        for crowd in &permission.unless {
            let others = self.members(app, crowd.as_str(), None).await?;
            if others.version().generation != generation {
                return Ok(None);
            }
            excluded.push(others);
        }
        let consent = match &permission.consent {
            None => None,
            Some(tag) => {
                let snapshot = self.snapshot(app).await?;
                if snapshot.generation() != generation {
                    return Ok(None);
                }
                Some(TagColumn::of(&snapshot, tag.as_str())?)
            }
        };
        blocking(move || {
            let excluded = Bitmap::union(excluded.iter().map(CrowdMembers::set));
            let left = members.set().and_not(&excluded);
            let suppressed = members.len() - left.len();
            let agreed = match consent {
                None => None,
                Some(column) => Some(those_who_agreed(&column)?),
            };
            let allowed = agreed.map_or_else(|| left.clone(), |agreed| left.and(&agreed));
            let without_consent = left.len() - allowed.len();
            let members = members.with_set(allowed);
            Ok(Some(Permitted { members, suppressed, without_consent }))
        })
        .await
    }
}

/// The users of whom a tag of type bool is true.
fn those_who_agreed(column: &TagColumn) -> Result<Arc<Bitmap>> {
    for (value, users) in column.sets()? {
        if value == Value::Bool(true) {
            return Ok(users.to_bitmap()?);
        }
    }
    Ok(Arc::default())
}

impl CrowdMembers {
    /// The same version with other members.
    pub(crate) fn with_set(&self, set: Bitmap) -> Self {
        Self { set: Arc::new(set), ..self.clone() }
    }

    /// These and those others; `None`: the users were renumbered in between, so that nobody knows.
    pub fn and_also(&self, others: &Self) -> Option<Self> {
        self.is_numbered_as(others).then(|| self.with_set(self.set.or(&others.set)))
    }

    /// Those who are among these others; `None`: the users were renumbered in between.
    pub fn among(&self, others: &Self) -> Option<Self> {
        self.is_numbered_as(others).then(|| self.with_set(self.set.and(&others.set)))
    }

    fn is_numbered_as(&self, others: &Self) -> bool {
        self.version.generation == others.version.generation
    }

    /// None of these.
    pub fn none(&self) -> Self {
        self.with_set(Bitmap::new())
    }

    /// The members with these ids; ids of nobody are passed over. Reads files: not for a thread that
    /// answers requests.
    ///
    /// # Errors
    /// Of the dictionary.
    pub fn with_ids(&self, ids: &[&str]) -> Result<Self> {
        let found = self.dictionary.lookup(ids)?;
        let set: Bitmap = found.into_iter().flatten().collect();
        Ok(self.with_set(set.and(&self.set)))
    }

    /// Up to so many members whose ordinals are `from` or more; `None` after the last. Reads files: not
    /// for a thread that answers requests.
    ///
    /// # Errors
    /// As [`CrowdMembers::ids`].
    pub fn page_from(&self, from: Ordinal, size: usize) -> Result<Option<MemberPage>> {
        let ordinals = self.set.page(from, size);
        let Some(last) = ordinals.last() else { return Ok(None) };
        let next = last.checked_add(1);
        let found = resolved(&self.app, &self.dictionary, &ordinals)?;
        // Users who were deleted since are left out.
        let known =
            ordinals.into_iter().zip(found).filter_map(|(ordinal, id)| Some((ordinal, id?)));
        let (ordinals, ids) = known.unzip();
        Ok(Some(MemberPage { ids, next, ordinals }))
    }
}

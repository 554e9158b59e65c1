use crate::ids::ids;
use crate::known::KnownCrowd;
use crate::{CrowdVersion, Crowds, Error, Result};
use std::sync::Arc;
use taghouse_bitmap::{Bitmap, PortablePieces};
use taghouse_dictionary::View;
use taghouse_disk::blocking;
use taghouse_model::{AppId, Ordinal};

/// User ids of one chunk of [`CrowdMembers::ids`].
const CHUNK: usize = 8192;
/// User ids of one [`Piece`]: they have up to 512 bytes each.
const PIECE: usize = 1024;

/// Some members of an export.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Their ids, in the order of their ordinals.
    pub ids: Vec<String>,
    /// Where the next piece begins; `None`: this is the last.
    pub next: Option<Ordinal>,
}

/// The members of one version of a crowd, without deleted users. It does not change, whatever is
/// published meanwhile.
#[derive(Clone)]
pub struct CrowdMembers {
    pub(crate) app: AppId,
    pub(crate) version: CrowdVersion,
    pub(crate) set: Arc<Bitmap>,
    pub(crate) dictionary: View,
}

impl Crowds {
    /// The members of a version, by default the current one.
    ///
    /// # Errors
    /// [`Error::UnknownCrowd`], [`Error::NotComputed`], [`Error::UnknownVersion`],
    /// [`Error::OldGeneration`]; of the catalog and the store; [`Error::Corrupt`].
    pub async fn members(
        &self,
        app: &AppId,
        crowd: &str,
        version: Option<u64>,
    ) -> Result<CrowdMembers> {
        let choose = |known: &KnownCrowd| match version {
            None => known.current().cloned(),
            Some(number) => known
                .kept
                .iter()
                .find(|kept| kept.version.version == number)
                .cloned()
                .ok_or_else(|| {
                    let kept: Vec<String> =
                        known.kept.iter().map(|kept| kept.version.version.to_string()).collect();
                    Error::UnknownVersion {
                        crowd: crowd.to_owned(),
                        version: number,
                        kept: kept.join(", "),
                    }
                }),
        };
        let asked = match self.live_crowd(app, crowd).filter(|_| version.is_none()) {
            Some(live) => self.live_answering(app, &live).await?,
            None => self.chosen(app, crowd, &choose).await?,
        };
        let app = app.clone();
        blocking(move || {
            let set = asked.bitmap()?;
            let version = CrowdVersion { size: set.len(), ..asked.known.version.clone() };
            Ok(CrowdMembers { app, version, set, dictionary: asked.dictionary })
        })
        .await
    }
}

impl CrowdMembers {
    /// The version whose members these are; its `size` is their number.
    pub fn version(&self) -> &CrowdVersion {
        &self.version
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.set.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    pub(crate) fn set(&self) -> &Bitmap {
        &self.set
    }

    pub(crate) fn app(&self) -> &AppId {
        &self.app
    }

    pub(crate) fn dictionary(&self) -> &View {
        &self.dictionary
    }

    /// These of them alone.
    pub(crate) fn only(self, set: Bitmap) -> Self {
        let version = CrowdVersion { size: set.len(), ..self.version };
        Self { set: Arc::new(set), version, ..self }
    }

    pub(crate) fn shared_set(&self) -> Arc<Bitmap> {
        self.set.clone()
    }

    /// The users of a kept set, as members of the version that they were taken from.
    pub(crate) fn of_kept(
        app: AppId,
        version: CrowdVersion,
        set: Arc<Bitmap>,
        dictionary: View,
    ) -> Self {
        Self { app, version, set, dictionary }
    }

    /// Those who are not among these others; `None`: the users were renumbered in between, so that
    /// nobody knows.
    pub fn without(&self, others: &Self) -> Option<Self> {
        (self.version.generation == others.version.generation)
            .then(|| Self { set: Arc::new(self.set.and_not(&others.set)), ..self.clone() })
    }

    /// The user ids in the order of their ordinals, a few thousand at a time. Reads files: not for
    /// a thread that answers requests.
    ///
    /// # Errors
    /// Of the dictionary; [`Error::Corrupt`] for a member without an id. Nothing follows an error.
    pub fn ids(&self) -> impl Iterator<Item = Result<Vec<String>>> + '_ {
        let mut ordinals = self.set.iter();
        let mut failed = false;
        std::iter::from_fn(move || {
            let chunk: Vec<Ordinal> = ordinals.by_ref().take(CHUNK).collect();
            if chunk.is_empty() || failed {
                return None;
            }
            let ids = self.resolve(&chunk);
            failed = ids.is_err();
            Some(ids)
        })
    }

    /// The ids of the next members whose ordinals are `from` or more; `None` after the last.
    /// Between two pieces no iterator is kept. Reads files: not for a thread that answers
    /// requests.
    ///
    /// # Errors
    /// As [`CrowdMembers::ids`].
    pub fn ids_from(&self, from: Ordinal) -> Result<Option<Piece>> {
        let ordinals = self.set.page(from, PIECE);
        let Some(last) = ordinals.last() else { return Ok(None) };
        Ok(Some(Piece { ids: self.resolve(&ordinals)?, next: last.checked_add(1) }))
    }

    /// The bytes of [`CrowdMembers::roaring`], or of [`CrowdMembers::roaring64`] if they are
    /// `wide`, piece by piece.
    pub fn portable_pieces(&self, wide: bool) -> PortablePieces {
        self.set.portable_pieces(wide)
    }

    /// The ordinals as one portable 32-bit Roaring bitmap, as CRoaring, pyroaring and others read
    /// it.
    pub fn roaring(&self) -> Vec<u8> {
        self.set.serialize_portable()
    }

    /// The same as a portable 64-bit Roaring bitmap.
    pub fn roaring64(&self) -> Vec<u8> {
        self.set.serialize_portable64()
    }

    pub(crate) fn resolve(&self, chunk: &[Ordinal]) -> Result<Vec<String>> {
        ids(&self.app, &self.dictionary, chunk)
    }
}

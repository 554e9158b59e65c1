use crate::generation::Generation;
use crate::lookup::options;
use crate::{Resolved, Result};
use std::sync::Arc;
use taghouse_model::Ordinal;

/// One generation of one app, to be read as long as it is held, whichever is current meanwhile. For
/// readers of an index snapshot.
///
/// Users given and deleted show as they do in the dictionary, until another generation takes its
/// place: from then on it stays as it was.
#[derive(Clone)]
pub struct View {
    pub(crate) number: u64,
    pub(crate) generation: Arc<Generation>,
}

impl View {
    /// Number of the generation.
    pub fn generation(&self) -> u64 {
        self.number
    }

    /// As [`Dictionary::len`](crate::Dictionary::len).
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u32 {
        self.generation.state().len()
    }

    /// As [`Dictionary::lookup`](crate::Dictionary::lookup).
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt).
    pub fn lookup(&self, ids: &[&str]) -> Result<Vec<Option<Ordinal>>> {
        self.generation.state().lookup(ids).map(options)
    }

    /// The ordinal of one user; `None` if the dictionary does not know the id.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt).
    pub fn ordinal(&self, id: &str) -> Result<Option<Ordinal>> {
        Ok(self.lookup(&[id])?.first().copied().flatten())
    }

    /// As [`Dictionary::resolve`](crate::Dictionary::resolve).
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt).
    pub fn resolve(&self, ordinals: &[Ordinal]) -> Result<Vec<Option<String>>> {
        self.generation.state().resolve(ordinals)
    }

    /// As [`Dictionary::resolve_sorted`](crate::Dictionary::resolve_sorted).
    pub fn resolve_sorted<I: Iterator<Item = Ordinal>>(
        &self,
        ordinals: impl IntoIterator<IntoIter = I>,
    ) -> Resolved<I> {
        Resolved::new(Some(Arc::clone(&self.generation)), ordinals.into_iter())
    }
}

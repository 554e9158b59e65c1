use crate::Result;
use crate::generation::Generation;
use std::sync::Arc;
use std::vec;
use taghouse_model::Ordinal;

/// Ordinals of one step of [`Resolved`]: bounds its memory (512 bytes an id at most).
const STEP: usize = 1024;

/// The stream of [`Dictionary::resolve_sorted`](crate::Dictionary::resolve_sorted). It stays with
/// the generation that was current when it began. After an error it goes on with the next step of
/// ordinals; stop at the first.
pub struct Resolved<I> {
    generation: Option<Arc<Generation>>,
    ordinals: I,
    step: Vec<Ordinal>,
    ready: std::iter::Zip<vec::IntoIter<Ordinal>, vec::IntoIter<Option<String>>>,
}

impl<I: Iterator<Item = Ordinal>> Resolved<I> {
    pub(crate) fn new(generation: Option<Arc<Generation>>, ordinals: I) -> Self {
        Self {
            generation,
            ordinals,
            step: Vec::new(),
            ready: Vec::new().into_iter().zip(Vec::new()),
        }
    }
}

impl<I: Iterator<Item = Ordinal>> Iterator for Resolved<I> {
    type Item = Result<(Ordinal, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        let generation = self.generation.as_ref()?;
        loop {
            for (ordinal, id) in self.ready.by_ref() {
                if let Some(id) = id {
                    return Some(Ok((ordinal, id)));
                }
            }
            self.step.clear();
            self.step.extend(self.ordinals.by_ref().take(STEP));
            if self.step.is_empty() {
                return None;
            }
            match generation.state().resolve(&self.step) {
                Ok(ids) => self.ready = std::mem::take(&mut self.step).into_iter().zip(ids),
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

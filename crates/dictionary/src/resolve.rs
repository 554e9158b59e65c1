use crate::{Dictionary, Result, key};
use std::ops::Bound;
use std::vec;
use taghouse_model::{AppId, Ordinal};

/// Ordinals of one step of [`Resolved`]: bounds its memory (512 bytes an id at most) and lets one scan serve many.
const STEP: usize = 4096;
/// Up to this many ordinals a wanted one, a scan over all of them is faster than one look-up each.
const SCAN_FACTOR: u64 = 8;

impl Dictionary {
    /// The ids of `ordinals`, in their order; `None` for an ordinal that is not given.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Unavailable`](crate::Error::Unavailable).
    pub fn resolve(&self, app: &AppId, ordinals: &[Ordinal]) -> Result<Vec<Option<String>>> {
        let len = self.len(app);
        let ascending = ordinals.is_sorted_by(|a, b| a < b);
        match (ordinals.first(), ordinals.last()) {
            (Some(first), Some(last)) if ascending && u64::from(last - first) < SCAN_FACTOR * ordinals.len() as u64 => {
                self.scan(app, ordinals, *first, len)
            }
            _ => {
                let (prefix, mut buffer) = (key::app(app), Vec::new());
                ordinals.iter().map(|o| if *o < len { self.resolve_one(&prefix, *o, &mut buffer).map(Some) } else { Ok(None) }).collect()
            }
        }
    }

    /// Streams the ids of ascending ordinals, such as a bitmap's, in the same order, each with its ordinal. Ordinals that are not
    /// given are passed over. Holds a few thousand ids at a time, whatever the number.
    pub fn resolve_sorted<I: Iterator<Item = Ordinal>>(&self, app: &AppId, ordinals: impl IntoIterator<IntoIter = I>) -> Resolved<'_, I> {
        Resolved { dictionary: self, app: app.clone(), ordinals: ordinals.into_iter(), ready: Vec::new().into_iter() }
    }

    fn resolve_one(&self, prefix: &[u8], ordinal: Ordinal, buffer: &mut Vec<u8>) -> Result<String> {
        key::join(buffer, prefix, &ordinal.to_be_bytes());
        match self.store.ids.get(&*buffer).map_err(|e| self.failed(e))? {
            Some(id) => self.text(&id),
            None => Err(self.corrupt(&format!("ordinal {ordinal} has no id"))),
        }
    }

    /// One pass over all ordinals from `first` to the last wanted.
    fn scan(&self, app: &AppId, wanted: &[Ordinal], first: Ordinal, len: Ordinal) -> Result<Vec<Option<String>>> {
        let prefix = key::app(app);
        let (mut low, mut high) = (Vec::new(), Vec::new());
        key::join(&mut low, &prefix, &first.to_be_bytes());
        key::join(&mut high, &prefix, &len.to_be_bytes());
        let mut ids = Vec::with_capacity(wanted.len());
        let within = &wanted[..wanted.partition_point(|o| *o < len)];
        if !within.is_empty() {
            for entry in self.store.ids.range((Bound::Included(low), Bound::Excluded(high))) {
                let (k, id) = entry.into_inner().map_err(|e| self.failed(e))?;
                if key::ordinal_of(&k) == within.get(ids.len()).copied() {
                    ids.push(Some(self.text(&id)?));
                    if ids.len() == within.len() {
                        break;
                    }
                }
            }
        }
        if ids.len() != within.len() {
            return Err(self.corrupt(&format!("ordinal {} has no id", within[ids.len()])));
        }
        ids.resize(wanted.len(), None);
        Ok(ids)
    }

    fn text(&self, id: &[u8]) -> Result<String> {
        String::from_utf8(id.to_vec()).map_err(|_| self.corrupt("an id is not UTF-8"))
    }
}

/// The stream of [`Dictionary::resolve_sorted`]. After an error it goes on with the next step of ordinals; stop at the first.
pub struct Resolved<'a, I> {
    dictionary: &'a Dictionary,
    app: AppId,
    ordinals: I,
    ready: vec::IntoIter<(Ordinal, String)>,
}

impl<I: Iterator<Item = Ordinal>> Iterator for Resolved<'_, I> {
    type Item = Result<(Ordinal, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(pair) = self.ready.next() {
                return Some(Ok(pair));
            }
            let step: Vec<Ordinal> = self.ordinals.by_ref().take(STEP).collect();
            if step.is_empty() {
                return None;
            }
            match self.dictionary.resolve(&self.app, &step) {
                Ok(ids) => {
                    let pairs: Vec<_> = step.into_iter().zip(ids).filter_map(|(o, id)| Some((o, id?))).collect();
                    self.ready = pairs.into_iter();
                }
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

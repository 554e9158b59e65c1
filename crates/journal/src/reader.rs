//! Reads the frames of a log, and distinguishes an end torn by a crash from damage.

use crate::frame::{FrameFormat, FrameHead, HEAD_BYTES};
use std::path::{Path, PathBuf};

/// The unit in which a file system writes, or loses a write.
const PAGE: usize = 4096;
/// Shorter sequences of zeros prove nothing.
const LOST_BYTES: usize = 16;

/// What counts as torn by a crash at the end of a log. Anything else that is not a complete frame
/// is [`Damaged`], and so is everything before a later frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TornEnd {
    /// Nothing: another file of the log follows this one.
    Never,
    /// Only what a crash leaves of a frame: its end is missing, or a page of it was never written
    /// and is all zeros.
    Missing,
    /// Anything that is not a complete frame.
    Anything,
}

/// Stored bytes that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: the frame at byte {offset} is damaged", path.display())]
pub struct Damaged {
    /// Path of the file.
    pub path: PathBuf,
    /// Where in the file the frame begins.
    pub offset: u64,
}

/// A complete frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a, F> {
    /// The fields of its head.
    pub fields: F,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Reads the frames of one file in order.
#[derive(Debug)]
pub struct FrameReader<'a, F> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
    torn: TornEnd,
    format: F,
}

/// What is wrong with an incomplete frame.
enum Flaw {
    /// There is no head, or not one that may be here.
    Head,
    /// The file ends before the payload does.
    Short,
    /// The payload, which ends there, does not match its checksum.
    Payload { end: usize },
}

impl<'a, F: FrameFormat> FrameReader<'a, F> {
    /// Reads `bytes`, all of the file at `path`, whose first frame begins at `from`.
    pub fn new(path: &'a Path, bytes: &'a [u8], from: usize, torn: TornEnd, format: F) -> Self {
        Self { path, bytes, at: from.min(bytes.len()), torn, format }
    }

    /// The next frame; `None` after the last complete one.
    ///
    /// # Errors
    /// [`Damaged`] for bytes that are neither a frame nor a torn end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Frame<'a, F::Fields>>, Damaged> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        match self.frame() {
            Ok((head, payload)) => {
                self.at += HEAD_BYTES + payload.len();
                self.format.pass(&head.fields);
                Ok(Some(Frame { fields: head.fields, payload }))
            }
            Err(flaw) if self.is_torn(&flaw) => Ok(None),
            Err(_) => Err(Damaged { path: self.path.to_owned(), offset: self.at as u64 }),
        }
    }

    /// The end of the last frame read. Once [`FrameReader::next`] has returned `None`, the file is
    /// intact up to there.
    pub fn end(&self) -> u64 {
        self.at as u64
    }

    /// The state after the frames read so far.
    pub fn format(&self) -> &F {
        &self.format
    }

    fn frame(&self) -> Result<(FrameHead<F::Fields>, &'a [u8]), Flaw> {
        let rest = &self.bytes[self.at..];
        let head = head_at::<F>(rest)
            .filter(|head| self.format.is_next(&head.fields))
            .ok_or(Flaw::Head)?;
        let payload = rest[HEAD_BYTES..].get(..head.payload_bytes).ok_or(Flaw::Short)?;
        if !head.is_of(payload) {
            return Err(Flaw::Payload { end: self.at + HEAD_BYTES + payload.len() });
        }
        Ok((head, payload))
    }

    fn is_torn(&self, flaw: &Flaw) -> bool {
        match (self.torn, flaw) {
            (TornEnd::Never, _) => false,
            (TornEnd::Anything, _) => !self.later_from(self.at + 1),
            // The payload that is cut short reaches beyond the file, so whatever looks like a frame
            // is part of it.
            (TornEnd::Missing, Flaw::Short) => true,
            (TornEnd::Missing, Flaw::Head) => {
                // A head that is cut short or not there: nothing was written after it.
                let head = self.bytes.len().min(self.at + HEAD_BYTES);
                (head < self.at + HEAD_BYTES || self.lost_page(head))
                    && !self.later_from(self.at + 1)
            }
            (TornEnd::Missing, Flaw::Payload { end }) => {
                self.lost_page(*end) && !self.later_from(*end)
            }
        }
    }

    /// Whether a frame that was written later begins anywhere from this byte on.
    fn later_from(&self, from: usize) -> bool {
        (from..self.bytes.len()).any(|at| {
            head_at::<F>(&self.bytes[at..]).is_some_and(|head| self.format.is_later(&head.fields))
        })
    }

    /// Whether some page's part of the bytes from here to `end` is all zeros: it was never written.
    fn lost_page(&self, end: usize) -> bool {
        let (mut start, mut lost) = (self.at, false);
        while start < end {
            let page = end.min(start + PAGE - start % PAGE);
            lost |=
                page - start >= LOST_BYTES && self.bytes[start..page].iter().all(|byte| *byte == 0);
            start = page;
        }
        lost
    }
}

/// The head at the beginning of these bytes.
fn head_at<F: FrameFormat>(bytes: &[u8]) -> Option<FrameHead<F::Fields>> {
    F::read_head(bytes.first_chunk()?)
}

#[cfg(test)]
mod tests;

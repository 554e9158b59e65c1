use bytes::Bytes;
use std::ops::Range;

/// The different texts of a tag, sorted by bytes, each once. Their places are their codes.
///
/// `count 4 | start of each text, and the end: 4 each | the texts`
#[derive(Clone)]
pub(crate) struct Directory {
    bytes: Bytes,
    count: usize,
}

/// The bytes of a directory; `texts` is sorted. `None` when they take 4 GiB or more.
pub(crate) fn encode_directory<'a>(
    texts: impl ExactSizeIterator<Item = &'a str> + Clone,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&u32::try_from(texts.len()).ok()?.to_le_bytes());
    let mut start: usize = 0;
    for text in texts.clone() {
        bytes.extend_from_slice(&u32::try_from(start).ok()?.to_le_bytes());
        start += text.len();
    }
    bytes.extend_from_slice(&u32::try_from(start).ok()?.to_le_bytes());
    texts.for_each(|text| bytes.extend_from_slice(text.as_bytes()));
    Some(bytes)
}

impl Directory {
    /// `None` when the bytes are not a directory.
    pub(crate) fn open(bytes: Bytes) -> Option<Self> {
        let count = read(&bytes, 0)?;
        let directory = Self { bytes, count };
        let texts_start = 4 + 4 * (count + 1);
        if texts_start + directory.start(count)? != directory.bytes.len() {
            return None;
        }
        let mut before: Option<&str> = None;
        for code in 0..count {
            let text = directory.text(code)?;
            if before.is_some_and(|before| before >= text) {
                return None;
            }
            before = Some(text);
        }
        Some(directory)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn get(&self, code: u32) -> Option<&str> {
        self.text(code as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.count).filter_map(|code| self.text(code))
    }

    /// The code of `text`, or else the code that the next greater text has.
    pub(crate) fn find(&self, text: &str) -> Result<u32, u32> {
        let at = self.partition_point(|other| other < text);
        if self.get(at) == Some(text) { Ok(at) } else { Err(at) }
    }

    /// The codes of all texts that begin with `prefix`.
    pub(crate) fn with_prefix(&self, prefix: &str) -> Range<u32> {
        let start = self.partition_point(|other| other < prefix);
        // Among those not before the prefix, those that begin with it come first.
        let end = self.partition_point(|other| other < prefix || other.starts_with(prefix));
        start..end
    }

    fn partition_point(&self, before: impl Fn(&str) -> bool) -> u32 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.text(middle).is_some_and(&before) { low = middle + 1 } else { high = middle }
        }
        low as u32
    }

    fn start(&self, code: usize) -> Option<usize> {
        read(&self.bytes, 4 + 4 * code)
    }

    fn text(&self, code: usize) -> Option<&str> {
        if code >= self.count {
            return None;
        }
        let texts = self.bytes.get(4 + 4 * (self.count + 1)..)?;
        std::str::from_utf8(texts.get(self.start(code)?..self.start(code + 1)?)?).ok()
    }
}

fn read(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize)
}

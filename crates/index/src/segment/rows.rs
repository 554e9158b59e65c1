use crate::error::Result;
use taghouse_bitmap::Region;

/// The codes of each user who has a value, in order of ordinals: what a profile reads when there
/// are too many values to ask each.
///
/// `start of each user's codes, and the end: 4 each (sets only) | the codes: 1, 2 or 4 each, as few
/// as the number of values allows`
#[derive(Clone)]
pub(crate) struct Rows {
    region: Region,
    users: usize,
    several: bool,
    /// Bytes of a code.
    width: usize,
}

/// The bytes of rows, of a tag of `values` values. `starts`, of sets only, has the place of each
/// user's first code and the end.
pub(crate) fn encode_rows(starts: Option<&[u32]>, codes: &[u32], values: usize) -> Vec<u8> {
    let (starts, width) = (starts.unwrap_or_default(), width_of(values));
    let mut bytes = Vec::with_capacity(4 * starts.len() + width * codes.len());
    starts.iter().for_each(|start| bytes.extend_from_slice(&start.to_le_bytes()));
    codes.iter().for_each(|code| bytes.extend_from_slice(&code.to_le_bytes()[..width]));
    bytes
}

/// The length of [`encode_rows`]: `users` are given for sets, `codes` is the number of all codes.
pub(crate) fn rows_len(users: Option<u64>, codes: u64, values: usize) -> u64 {
    users.map_or(0, |users| 4 * (users + 1)) + width_of(values) as u64 * codes
}

fn width_of(values: usize) -> usize {
    match values {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

impl Rows {
    /// `None` when the bytes do not hold so many users of a tag of `values` values.
    pub(crate) fn open(
        region: Region,
        users: u64,
        several: bool,
        values: usize,
    ) -> Result<Option<Self>> {
        let Ok(users) = usize::try_from(users) else { return Ok(None) };
        let rows = Self { region, users, several, width: width_of(values) };
        let codes = if several { rows.start(rows.users)? } else { rows.users };
        Ok((rows.region.len() == rows.head() + rows.width * codes).then_some(rows))
    }

    /// Appends the codes of the user at `position` among those who have a value, ascending.
    pub(crate) fn codes(&self, position: u64, codes: &mut Vec<u32>) -> Result<()> {
        let Some(position) =
            usize::try_from(position).ok().filter(|position| *position < self.users)
        else {
            return Ok(());
        };
        let range = if self.several {
            self.start(position)?..self.start(position + 1)?
        } else {
            position..position + 1
        };
        let from = self.head() + self.width * range.start;
        let region = self.region.part(from..from + self.width * range.len())?;
        let bytes = region.whole()?;
        codes.extend(
            bytes
                .chunks_exact(self.width)
                .map(|code| code.iter().rev().fold(0, |code, byte| code << 8 | u32::from(*byte))),
        );
        Ok(())
    }

    /// Bytes before the codes.
    fn head(&self) -> usize {
        if self.several { 4 * (self.users + 1) } else { 0 }
    }

    fn start(&self, position: usize) -> Result<usize> {
        let region = self.region.part(4 * position..4 * position + 4)?;
        Ok(region.whole()?.first_chunk().map_or(0, |b| u32::from_le_bytes(*b) as usize))
    }
}

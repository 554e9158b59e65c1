//! The rows of tags of very many values (see [`crate::segment::Rows`]), out of their bitmaps.
//!
//! Users stand in the order of their ordinals, so a shard's rows follow those of the shard before.
//! A shard's bitmaps are turned around in two steps: count the values of each user, then scatter
//! the codes to their users. Values are read in order of their codes, so a user's codes come out
//! ascending. Where a shard has more codes than memory takes, its users are taken in several
//! portions, and its bitmaps are read again for each.

use super::write::Piece;
use crate::error::Result;
use crate::segment::{ROWS_FROM, encode_rows, rows_len};
use std::ops::Range;
use taghouse_bitmap::{SHARD_SIZE, for_each_low};
use taghouse_model::ValueType;

/// Gives the portable form of a piece to the function.
pub(super) type ReadPiece<'a> =
    dyn FnMut(&Piece, &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> + 'a;

/// Codes in memory at a time: 16 MiB, so that a shard of four values a user is read once.
pub(super) const CODES_AT_ONCE: usize = 1 << 22;

/// The rows of a segment.
pub(super) struct LoadedRows {
    /// A set: a user may have several values.
    several: bool,
    /// How many values the tag has.
    values: usize,
    pub(super) len: u64,
}

impl LoadedRows {
    /// `None` for a tag that gets none, as [`crate::SegmentBuilder`] decides it. A set of more
    /// members than the rows' numbers reach, which the builder refuses, has none either.
    pub(super) fn of(
        value_type: ValueType,
        values: usize,
        users: u64,
        pieces: &[Piece],
    ) -> Option<Self> {
        if values < ROWS_FROM {
            return None;
        }
        let several = value_type == ValueType::Set;
        let of_values = pieces.iter().filter(|piece| piece.bitmap > 0);
        let codes = of_values.map(|piece| u64::from(piece.cardinality)).sum::<u64>();
        u32::try_from(codes).ok()?;
        Some(Self { several, values, len: rows_len(several.then_some(users), codes, values) })
    }

    /// Writes them; `pieces` are sorted by shard and bitmap. Beside some bytes for each user of a
    /// shard, `codes_at_once` codes are in memory.
    pub(super) fn write(
        &self,
        pieces: &[Piece],
        codes_at_once: usize,
        read: &mut ReadPiece<'_>,
        into: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut counts = vec![0; SHARD_SIZE as usize];
        if self.several {
            let (mut starts, mut end) = (Vec::new(), 0);
            for of_shard in shards(pieces) {
                count(of_shard, read, &mut counts)?;
                starts.clear();
                starts.extend(counts.iter().filter(|count| **count > 0).map(|count| {
                    end += count;
                    end - count
                }));
                into(&encode_rows(Some(&starts), &[], self.values))?;
            }
            into(&encode_rows(Some(&[end]), &[], self.values))?;
        }
        let mut codes = Vec::new();
        for of_shard in shards(pieces) {
            count(of_shard, read, &mut counts)?;
            let mut done = 0;
            while done < SHARD_SIZE {
                let users = portion(&counts, done, codes_at_once);
                done = users.end;
                scatter(of_shard, users, read, &mut counts, &mut codes)?;
                into(&encode_rows(None, &codes, self.values))?;
            }
        }
        Ok(())
    }
}

/// The pieces of each shard that are of values.
fn shards(pieces: &[Piece]) -> impl Iterator<Item = &[Piece]> {
    pieces.chunk_by(|a, b| a.shard == b.shard).map(|of_shard| {
        let existence = of_shard.iter().take_while(|piece| piece.bitmap == 0).count();
        &of_shard[existence..]
    })
}

/// Sets the number of values of each user of a shard.
fn count(pieces: &[Piece], read: &mut ReadPiece<'_>, counts: &mut [u32]) -> Result<()> {
    counts.fill(0);
    for piece in pieces {
        read(piece, &mut |blob| {
            for_each_low(blob, |low| {
                if let Some(count) = counts.get_mut(low as usize) {
                    *count += 1;
                }
            });
            Ok(())
        })?;
    }
    Ok(())
}

/// The users from `from` on who have `codes_at_once` codes together; at least one user.
fn portion(counts: &[u32], from: u32, codes_at_once: usize) -> Range<u32> {
    let mut sum = 0;
    let fit = counts[from as usize..].iter().position(|count| {
        sum += *count as usize;
        sum > codes_at_once
    });
    from..fit.map_or(counts.len() as u32, |fit| from + fit.max(1) as u32)
}

/// Replaces what `codes` holds by the codes of these users of a shard, user by user. Of them
/// `counts` has the numbers, and afterwards nothing of use.
fn scatter(
    pieces: &[Piece],
    users: Range<u32>,
    read: &mut ReadPiece<'_>,
    counts: &mut [u32],
    codes: &mut Vec<u32>,
) -> Result<()> {
    let mut end = 0;
    let next = &mut counts[users.start as usize..users.end as usize];
    for count in next.iter_mut() {
        // Where the user's codes begin, until they are in place.
        end += std::mem::replace(count, end);
    }
    codes.clear();
    codes.resize(end as usize, 0);
    for piece in pieces {
        let code = piece.bitmap - 1;
        read(piece, &mut |blob| {
            for_each_low(blob, |low| {
                // Of users before these the difference wraps around, beyond all places.
                if let Some(next) = next.get_mut(low.wrapping_sub(users.start) as usize) {
                    codes[*next as usize] = code;
                    *next += 1;
                }
            });
            Ok(())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::run::OWN;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use taghouse_bitmap::{SHARD_BITS, encode_ascending};

    /// The bitmaps of some codes' users: pieces, and their portable forms.
    fn pieces(users: &BTreeMap<u32, Vec<u32>>) -> (Vec<Piece>, Vec<Vec<u8>>) {
        let mut by_place = BTreeMap::<(u32, u32), Vec<u32>>::new();
        for (ordinal, codes) in users {
            let shard = ordinal >> SHARD_BITS;
            codes
                .iter()
                .for_each(|code| by_place.entry((shard, code + 1)).or_default().push(*ordinal));
            by_place.entry((shard, 0)).or_default().push(*ordinal);
        }
        let mut blobs = Vec::new();
        let pieces = by_place.into_iter().map(|((shard, bitmap), ordinals)| {
            let mut blob = Vec::new();
            let cardinality = encode_ascending(shard, &ordinals, &mut blob);
            let (len, source) = (blob.len() as u32, blobs.len());
            blobs.push(blob);
            Piece { bitmap, shard, cardinality, len, source, block: OWN, offset: 0 }
        });
        (pieces.collect(), blobs)
    }

    proptest! {
        #[test]
        fn rows_are_those_of_the_builder(
            users in prop::collection::btree_map(
                (0..3_u32, prop_oneof![0..40_u32, SHARD_SIZE - 9..SHARD_SIZE]).prop_map(|(shard, low)| shard << SHARD_BITS | low),
                prop::collection::btree_set(0..90_000_u32, 1..5),
                0..60,
            ),
            several in any::<bool>(),
            values in prop::sample::select(vec![ROWS_FROM, 90_000]),
            codes_at_once in 1..20_usize,
        ) {
            let users: BTreeMap<u32, Vec<u32>> = users
                .into_iter()
                .map(|(ordinal, codes)| {
                    let codes = codes.into_iter().map(|code| code % values as u32);
                    let codes: std::collections::BTreeSet<u32> = codes.take(if several { 5 } else { 1 }).collect();
                    (ordinal, codes.into_iter().collect())
                })
                .collect();
            let (mut starts, mut codes) = (vec![0], Vec::new());
            for of_user in users.values() {
                codes.extend_from_slice(of_user);
                starts.push(codes.len() as u32);
            }
            let expected = encode_rows(several.then_some(&starts), &codes, values);
            let (pieces, blobs) = pieces(&users);
            let value_type = if several { ValueType::Set } else { ValueType::Text };
            let rows = LoadedRows::of(value_type, values, users.len() as u64, &pieces).unwrap();
            prop_assert_eq!(rows.len, expected.len() as u64);
            let mut written = Vec::new();
            let mut read = |piece: &Piece, take: &mut dyn FnMut(&[u8]) -> Result<()>| take(&blobs[piece.source]);
            rows.write(&pieces, codes_at_once, &mut read, &mut |bytes| {
                written.extend_from_slice(bytes);
                Ok(())
            }).unwrap();
            prop_assert!(written == expected);
        }
    }

    #[test]
    fn only_tags_of_very_many_values_have_rows() {
        assert!(LoadedRows::of(ValueType::Text, ROWS_FROM - 1, 9, &[]).is_none());
        assert!(LoadedRows::of(ValueType::Text, ROWS_FROM, 9, &[]).is_some());
        let most = Piece {
            bitmap: 1,
            shard: 0,
            cardinality: u32::MAX,
            len: 0,
            source: 0,
            block: OWN,
            offset: 0,
        };
        let more = Piece { bitmap: 2, cardinality: 1, ..most };
        assert!(LoadedRows::of(ValueType::Set, ROWS_FROM, 9, &[most, more]).is_none());
    }
}

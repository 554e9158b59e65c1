use super::*;
use crate::frame::frame_bytes;
use proptest::prelude::*;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A format whose frames are numbered and whose payloads are seeded, so that a payload behind
/// another head is not a frame.
#[derive(Debug, Clone, Default)]
struct Numbered {
    next: u64,
}

impl FrameFormat for Numbered {
    type Fields = u64;

    fn head(number: &u64, payload: &[u8]) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&number.to_le_bytes());
        head[8..16].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        let seed = xxh3_64(&head[..16]);
        head[16..24].copy_from_slice(&seed.to_le_bytes());
        head[24..].copy_from_slice(&xxh3_64_with_seed(payload, seed).to_le_bytes());
        head
    }

    fn read_head(bytes: &[u8; HEAD_BYTES]) -> Option<FrameHead<u64>> {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let seed = xxh3_64(&bytes[..16]);
        (seed == number(16)).then(|| FrameHead {
            fields: number(0),
            payload_bytes: number(8) as usize,
            payload_checksum: number(24),
            payload_seed: seed,
        })
    }

    fn is_next(&self, number: &u64) -> bool {
        *number == self.next
    }

    fn is_later(&self, number: &u64) -> bool {
        *number > self.next
    }

    fn pass(&mut self, number: &u64) {
        self.next = number + 1;
    }
}

const FILE_HEAD: &[u8] = b"the head of the file";

/// A file of these payloads, and where each of its frames ends.
fn file(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends) = (FILE_HEAD.to_vec(), vec![FILE_HEAD.len()]);
    for (number, payload) in payloads.iter().enumerate() {
        bytes.extend_from_slice(&frame_bytes::<Numbered>(&(number as u64), payload));
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// The payloads read, and where the whole frames end.
fn read(bytes: &[u8], torn: TornEnd) -> Result<(Vec<Vec<u8>>, usize), Damaged> {
    let mut reader =
        FrameReader::new(Path::new("some.log"), bytes, FILE_HEAD.len(), torn, Numbered::default());
    let mut payloads = Vec::new();
    while let Some(frame) = reader.next()? {
        assert_eq!(frame.fields, payloads.len() as u64);
        payloads.push(frame.payload.to_vec());
    }
    assert_eq!(reader.format().next, payloads.len() as u64);
    Ok((payloads, reader.end() as usize))
}

const ENDS: [TornEnd; 3] = [TornEnd::Never, TornEnd::Missing, TornEnd::Anything];

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    // Without zeros, so that no part of a payload looks like a page that was never written; some
    // are longer than a page.
    let payload = prop_oneof![3 => prop::collection::vec(1..=255_u8, 0..80), 1 => (1..=255_u8, 4000..9000_usize).prop_map(|(byte, len)| vec![byte; len])];
    prop::collection::vec(payload, 1..6)
}

proptest! {
    #[test]
    fn what_was_written_is_read(payloads in payloads()) {
        let (bytes, _) = file(&payloads);
        for torn in ENDS {
            prop_assert_eq!(read(&bytes, torn).unwrap(), (payloads.clone(), bytes.len()));
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_read_up_to_its_last_whole_frame(payloads in payloads(), cut in any::<prop::sample::Index>()) {
        let (bytes, ends) = file(&payloads);
        let cut = FILE_HEAD.len() + cut.index(bytes.len() - FILE_HEAD.len() + 1);
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        for torn in [TornEnd::Missing, TornEnd::Anything] {
            prop_assert_eq!(read(&bytes[..cut], torn).unwrap(), (payloads[..whole].to_vec(), ends[whole]));
        }
        let strict = read(&bytes[..cut], TornEnd::Never);
        if cut == ends[whole] {
            prop_assert_eq!(strict.unwrap().0.len(), whole);
        } else {
            let damaged = strict.unwrap_err();
            prop_assert_eq!(damaged.offset, ends[whole] as u64);
            prop_assert_eq!(damaged.to_string(), format!("some.log: the frame at byte {} is damaged", ends[whole]));
        }
    }

    #[test]
    fn a_flipped_bit_never_passes(payloads in payloads(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (mut bytes, ends) = file(&payloads);
        let at = FILE_HEAD.len() + at.index(bytes.len() - FILE_HEAD.len());
        bytes[at] ^= 1 << bit;
        let hit = ends.iter().filter(|end| **end <= at).count() - 1;
        let is_last = hit + 1 == payloads.len();
        for torn in ENDS {
            match read(&bytes, torn) {
                Err(damaged) => prop_assert_eq!(damaged.offset, ends[hit] as u64),
                Ok(found) => {
                    prop_assert!(is_last && torn == TornEnd::Anything, "{:?}", torn);
                    prop_assert_eq!(found, (payloads[..hit].to_vec(), ends[hit]));
                }
            }
        }
    }

    #[test]
    fn pages_that_were_never_written_are_a_torn_end_only_behind_everything_else(payloads in payloads(), page in any::<prop::sample::Index>()) {
        let (mut bytes, ends) = file(&payloads);
        let page = page.index(bytes.len().div_ceil(PAGE));
        let lost = (page * PAGE).max(FILE_HEAD.len())..bytes.len().min((page + 1) * PAGE);
        prop_assume!(lost.len() >= LOST_BYTES);
        bytes[lost.clone()].fill(0);
        let hit = ends.iter().filter(|end| **end <= lost.start).count() - 1;
        let later = ends[..payloads.len()].iter().any(|start| *start >= lost.end);
        match read(&bytes, TornEnd::Anything) {
            Ok(found) => prop_assert!(!later && found == (payloads[..hit].to_vec(), ends[hit])),
            Err(damaged) => prop_assert!(later && damaged.offset == ends[hit] as u64),
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_read_beyond_the_end(bytes in prop::collection::vec(any::<u8>(), 0..300), from in 0..400_usize) {
        for torn in ENDS {
            let mut reader = FrameReader::new(Path::new("some.log"), &bytes, from, torn, Numbered::default());
            while let Ok(Some(_)) = reader.next() {}
            prop_assert!(reader.end() as usize <= bytes.len());
        }
    }
}

#[test]
fn a_page_of_the_last_frame_that_was_never_written_is_torn_and_other_changes_are_damage() {
    let (whole, ends) = file(&[b"one".to_vec(), vec![b'x'; 3 * PAGE]]);
    let mut lost = whole.clone();
    lost[PAGE..2 * PAGE].fill(0);
    assert_eq!(read(&lost, TornEnd::Missing).unwrap().1, ends[1]);
    let mut changed = whole.clone();
    changed[PAGE..2 * PAGE].fill(b'y');
    assert_eq!(read(&changed, TornEnd::Missing).unwrap_err().offset, ends[1] as u64);
    assert_eq!(read(&changed, TornEnd::Anything).unwrap().1, ends[1]);
    lost.extend_from_slice(&frame_bytes::<Numbered>(&2, b"three"));
    for torn in ENDS {
        assert_eq!(
            read(&lost, torn).unwrap_err().offset,
            ends[1] as u64,
            "{torn:?}: another frame stands behind it"
        );
    }
}

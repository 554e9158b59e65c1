//! The encoding and the delimiter that a text seems to have.

use crate::csv::{CsvReader, Dialect, Next};
use crate::decode::looks_like_utf16;
use encoding_rs::{Encoding, WINDOWS_1252};
use std::io::{self, Cursor, Read};

/// So many lines tell the delimiter.
const LINES: usize = 100;

/// The text, and its encoding where that has to be said. `whole`: the bytes are all there are.
pub(crate) fn decoded(head: &[u8], whole: bool) -> (String, Option<String>) {
    if let Some((encoding, mark)) = Encoding::for_bom(head) {
        return (encoding.decode_without_bom_handling(&head[mark..]).0.into_owned(), None);
    }
    if let Some(encoding) =
        looks_like_utf16(head).and_then(|label| Encoding::for_label(label.as_bytes()))
    {
        return (
            encoding.decode_without_bom_handling(head).0.into_owned(),
            Some(encoding.name().to_ascii_lowercase()),
        );
    }
    match std::str::from_utf8(head) {
        Ok(text) => (text.to_owned(), None),
        // Cut within a character.
        Err(e) if !whole && e.error_len().is_none() => {
            (String::from_utf8_lossy(&head[..e.valid_up_to()]).into_owned(), None)
        }
        Err(_) => (
            WINDOWS_1252.decode_without_bom_handling(head).0.into_owned(),
            Some("windows-1252".to_owned()),
        ),
    }
}

/// The delimiter that cuts most lines into as many fields as the header has, and into more than
/// one.
pub(crate) fn delimiter(text: &str) -> io::Result<u8> {
    let mut best = (0, b',');
    for candidate in [b',', b';', b'\t', b'|'] {
        let records = records(
            &mut CsvReader::new(
                Cursor::new(text.as_bytes()),
                Dialect { delimiter: candidate, escape: None },
            )?,
            LINES,
        )?;
        let fields = records.first().map_or(0, Vec::len);
        let alike = records.iter().filter(|record| record.len() == fields).count();
        // Lines first, then fields: a comma within texts cuts few lines alike.
        let score = if fields > 1 { alike * 1000 / records.len() * 1000 + fields } else { 0 };
        if score > best.0 {
            best = (score, candidate);
        }
    }
    Ok(best.1)
}

/// The fields of the first records.
pub(super) fn records<R: Read>(
    reader: &mut CsvReader<R>,
    limit: usize,
) -> io::Result<Vec<Vec<String>>> {
    let mut records = Vec::new();
    while records.len() < limit {
        match reader.next()? {
            Next::End => break,
            Next::Broken(_) => {}
            Next::Record => records.push(
                (0..reader.field_count())
                    .map(|at| String::from_utf8_lossy(reader.field(at)).into_owned())
                    .collect(),
            ),
        }
    }
    Ok(records)
}

//! Texts of any encoding as UTF-8, and what a text without a mark of its encoding looks like.

use crate::halt::Halt;
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};
use std::io::{self, Cursor, Read};

/// How much of a text is looked at before it is read.
const HEAD_BYTES: usize = 4096;
const INPUT_BYTES: usize = 64 << 10;
/// A byte that is never part of UTF-8 stands for what cannot be decoded, so that its row is
/// rejected.
const UNDECODED: u8 = 0xff;

/// The text as UTF-8. A byte order mark tells its encoding before `declared` does; without either
/// it is UTF-8.
///
/// # Errors
/// [`Halt::Refused`] where it looks like UTF-16 and nothing says so; it cannot be read.
pub(crate) fn as_utf8(
    mut text: Box<dyn Read + Send>,
    declared: Option<&'static Encoding>,
) -> Result<Box<dyn Read + Send>, Halt> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    text.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let marked = Encoding::for_bom(&head);
    let encoding = marked.map(|(encoding, _)| encoding).or(declared).unwrap_or(UTF_8);
    if let (None, None, Some(label)) = (marked, declared, looks_like_utf16(&head)) {
        return Err(Halt::Refused(format!(
            "it looks like UTF-16 without a byte order mark: say `encoding: {label}` in the source"
        )));
    }
    let skipped = marked.map_or(0, |(_, bytes)| bytes);
    let all = Cursor::new(head.split_off(skipped)).chain(text);
    if encoding == UTF_8 {
        return Ok(Box::new(all));
    }
    Ok(Box::new(Decoded::new(all, encoding)))
}

/// The label of the UTF-16 that the text seems to be: of text in any language most characters have
/// a zero byte, or the separators at least.
pub(crate) fn looks_like_utf16(head: &[u8]) -> Option<&'static str> {
    let zeros =
        |first: usize| head.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, pairs) = (zeros(0), zeros(1), head.len() / 2);
    match (even * 5 > pairs, odd * 5 > pairs) {
        (false, true) => Some("utf-16le"),
        (true, false) => Some("utf-16be"),
        _ => None,
    }
}

/// A text on its way into UTF-8.
struct Decoded<R> {
    text: R,
    decoder: Decoder,
    input: Vec<u8>,
    at: usize,
    filled: usize,
    ended: bool,
    output: Vec<u8>,
    given: usize,
    done: bool,
}

impl<R: Read> Decoded<R> {
    fn new(text: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_without_bom_handling();
        let (input, output) = (vec![0; INPUT_BYTES], Vec::new());
        Self { text, decoder, input, at: 0, filled: 0, ended: false, output, given: 0, done: false }
    }

    fn decode(&mut self) -> io::Result<()> {
        if self.at == self.filled && !self.ended {
            self.filled = self.text.read(&mut self.input)?;
            self.at = 0;
            self.ended = self.filled == 0;
        }
        self.output.resize(INPUT_BYTES, 0);
        self.given = 0;
        let input = &self.input[self.at..self.filled];
        let (result, read, written) =
            self.decoder.decode_to_utf8_without_replacement(input, &mut self.output, self.ended);
        self.at += read;
        self.output.truncate(written);
        match result {
            DecoderResult::InputEmpty => self.done = self.ended,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => self.output.push(UNDECODED),
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.output.len() && !self.done {
            self.decode()?;
        }
        let length = buffer.len().min(self.output.len() - self.given);
        buffer[..length].copy_from_slice(&self.output[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], label: Option<&str>) -> Result<Vec<u8>, String> {
        let declared = label.map(|label| Encoding::for_label(label.as_bytes()).unwrap());
        let mut all = Vec::new();
        let text = as_utf8(Box::new(Cursor::new(bytes.to_vec())), declared);
        match text {
            Ok(mut text) => _ = text.read_to_end(&mut all).unwrap(),
            Err(Halt::Refused(message)) => return Err(message),
            Err(other) => panic!("{other:?}"),
        }
        Ok(all)
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn encodings() {
        let text = "Kunde;Größe €\n1;😀\n";
        let (le, be) = (utf16(text, u16::to_le_bytes), utf16(text, u16::to_be_bytes));
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for (bytes, label) in [
            (text.as_bytes().to_vec(), None),
            (marked(b"\xef\xbb\xbf", text.as_bytes()), None),
            (marked(b"\xff\xfe", &le), None),
            (marked(b"\xfe\xff", &be), None),
            (le.clone(), Some("utf-16")),
            (be.clone(), Some("utf-16be")),
            // A mark tells more than the source.
            (marked(b"\xfe\xff", &be), Some("utf-16le")),
            (marked(b"\xef\xbb\xbf", text.as_bytes()), Some("windows-1252")),
        ] {
            assert_eq!(read(&bytes, label).unwrap(), text.as_bytes(), "{label:?}");
        }
        assert_eq!(read(b"Gr\xf6\xdfe \x80", Some("windows-1252")).unwrap(), "Größe €".as_bytes());
        assert!(read(&le, None).unwrap_err().contains("encoding: utf-16le"));
        assert!(read(&be, None).unwrap_err().contains("encoding: utf-16be"));
    }

    #[test]
    fn what_cannot_be_decoded_is_no_utf8_there_alone() {
        let half = [b'a', 0, 0x00, 0xd8, b'b', 0];
        assert_eq!(read(&half, Some("utf-16le")).unwrap(), b"a\xffb");
        assert_eq!(
            read(b"a\x81\xff,b", Some("shift_jis"))
                .unwrap()
                .iter()
                .filter(|byte| **byte == UNDECODED)
                .count(),
            1
        );
        assert_eq!(read(&[b'a', 0, b'b'], Some("utf-16le")).unwrap(), b"a\xff");
    }

    #[test]
    fn longer_than_the_buffers() {
        let text = "äöü€😀,".repeat(60_000);
        assert_eq!(
            read(&utf16(&text, u16::to_be_bytes), Some("utf-16be")).unwrap(),
            text.as_bytes()
        );
    }
}

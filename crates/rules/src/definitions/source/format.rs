//! How a source's files are written.

use super::SourceReader;
use crate::SourceFormat;
use crate::raw::source::RawFormat;

impl SourceReader<'_> {
    pub(super) fn format(&mut self) -> SourceFormat {
        let delimiter = match self.raw.delimiter.as_deref().map(str::as_bytes) {
            None => b',',
            Some(_) if self.raw.format != RawFormat::Csv => {
                self.error("/delimiter", "`delimiter` is for `format: csv` only");
                b','
            }
            Some(&[byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => byte,
            Some(_) => {
                self.error(
                    "/delimiter",
                    "`delimiter` is one ASCII character, and no quote or line end",
                );
                b','
            }
        };
        if self.raw.escape.is_some() && self.raw.format != RawFormat::Csv {
            self.error("/escape", "`escape` is for `format: csv` only");
        }
        match self.raw.format {
            RawFormat::Csv => SourceFormat::Csv { delimiter, escape: self.escape(delimiter) },
            RawFormat::Jsonl => SourceFormat::Jsonl,
            RawFormat::Parquet => SourceFormat::Parquet,
            RawFormat::Segment => SourceFormat::Segment,
            RawFormat::Kafka => SourceFormat::Kafka,
        }
    }

    fn escape(&mut self, delimiter: u8) -> Option<u8> {
        match self.raw.escape.as_deref()?.as_bytes() {
            &[byte]
                if byte.is_ascii()
                    && byte != delimiter
                    && !matches!(byte, b'"' | b'\n' | b'\r') =>
            {
                Some(byte)
            }
            _ => {
                self.error("/escape", "`escape` is one ASCII character, and neither the delimiter, a quote nor a line end");
                None
            }
        }
    }

    pub(super) fn encoding(&mut self) -> Option<String> {
        let label = self.raw.encoding.as_deref()?;
        if !matches!(self.raw.format, RawFormat::Csv | RawFormat::Jsonl) {
            self.error("/encoding", "`encoding` is for `format: csv` and `format: jsonl` only");
            return None;
        }
        // The encoding called replacement stands for those that nobody should read.
        let known = encoding_rs::Encoding::for_label(label.as_bytes())
            .filter(|encoding| *encoding != encoding_rs::REPLACEMENT);
        if known.is_none() {
            let message = format!(
                "`encoding` is \"{label}\", which is not a known encoding: write utf-8, utf-16, windows-1252, shift_jis or the like"
            );
            self.error("/encoding", message);
        }
        known.map(|encoding| encoding.name().to_owned())
    }

    pub(super) fn decimal_comma(&mut self) -> bool {
        match self.raw.decimal.as_deref() {
            None => false,
            Some(_) if self.raw.format != RawFormat::Csv => {
                self.error("/decimal", "`decimal` is for `format: csv` only");
                false
            }
            Some(".") => false,
            Some(",") => true,
            Some(other) => {
                self.error("/decimal", format!("`decimal` is \"{other}\": write \".\" or \",\""));
                false
            }
        }
    }
}

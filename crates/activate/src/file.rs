//! Members of a crowd as a file with the one column `user_id`, encoded chunk by chunk so that
//! memory does not grow with the crowd.

use crate::error::encode;
use crate::{Error, Result};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::str::FromStr;
use std::sync::Arc;

/// The encoded size of a row group of a Parquet file; until a group is full it is in memory.
const ROW_GROUP_BYTES: usize = 256 << 10;

/// How members are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// RFC 4180 with the header `user_id`.
    Csv,
    /// `{"user_id":"…"}` a line.
    Jsonl,
    /// Parquet, one string column, zstd.
    Parquet,
    /// The portable Roaring form of the ordinals. The crowd gives these bytes itself; see
    /// [`MemberFile::new`].
    Roaring,
    /// The same in 64 bits, for those who keep bitmaps of 64-bit numbers.
    Roaring64,
}

impl FromStr for FileFormat {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::Jsonl),
            "parquet" => Ok(Self::Parquet),
            "roaring" => Ok(Self::Roaring),
            "roaring64" => Ok(Self::Roaring64),
            _ => Err(Error::UnknownFormat(text.to_owned())),
        }
    }
}

impl FileFormat {
    /// The media type of the whole file.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Roaring | Self::Roaring64 => "application/octet-stream",
        }
    }
}

/// A file of members in the making: feed chunks, send the bytes that come back, then
/// [`finish`](Self::finish).
///
/// ```
/// use taghouse_activate::{FileFormat, MemberFile};
///
/// # fn main() -> taghouse_activate::Result<()> {
/// let mut file = MemberFile::new(FileFormat::Csv)?.expect("CSV is made of ids");
/// let mut bytes = file.write(&["ada".to_owned(), "bob".to_owned()])?;
/// bytes.extend(file.finish()?);
/// assert_eq!(bytes, b"user_id\nada\nbob\n");
/// # Ok(())
/// # }
/// ```
pub struct MemberFile {
    schema: Arc<Schema>,
    encoder: Encoder,
}

enum Encoder {
    /// The header, until it is sent: arrow's CSV writer keeps all it wrote, so each chunk has a
    /// writer of its own.
    Csv {
        header: Option<Vec<u8>>,
    },
    Jsonl(arrow::json::LineDelimitedWriter<Vec<u8>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
}

impl MemberFile {
    /// Begins a file. `None` for [`FileFormat::Roaring`] and [`FileFormat::Roaring64`], which are
    /// not made of ids.
    ///
    /// # Errors
    /// The Parquet writer refuses to begin.
    pub fn new(format: FileFormat) -> Result<Option<Self>> {
        let schema = Arc::new(Schema::new(vec![Field::new("user_id", DataType::Utf8, false)]));
        let encoder = match format {
            FileFormat::Csv => Encoder::Csv { header: Some(b"user_id\n".to_vec()) },
            FileFormat::Jsonl => Encoder::Jsonl(arrow::json::LineDelimitedWriter::new(Vec::new())),
            FileFormat::Parquet => {
                let level = ZstdLevel::try_new(1).map_err(encode("parquet"))?;
                // A dictionary of ids of which each occurs once is only another copy.
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(level))
                    .set_dictionary_enabled(false)
                    .build();
                let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))
                    .map_err(encode("parquet"))?;
                Encoder::Parquet(Box::new(writer))
            }
            FileFormat::Roaring | FileFormat::Roaring64 => return Ok(None),
        };
        Ok(Some(Self { schema, encoder }))
    }

    /// Encodes some members and gives the bytes that are ready (for Parquet often none until a row
    /// group is full).
    ///
    /// # Errors
    /// The encoder refuses the rows.
    pub fn write(&mut self, user_ids: &[String]) -> Result<Vec<u8>> {
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(user_ids));
        let batch =
            RecordBatch::try_new(self.schema.clone(), vec![column]).map_err(encode("a batch"))?;
        match &mut self.encoder {
            Encoder::Csv { header } => {
                let mut writer = arrow::csv::WriterBuilder::new()
                    .with_header(false)
                    .build(header.take().unwrap_or_default());
                writer.write(&batch).map_err(encode("csv"))?;
                Ok(writer.into_inner())
            }
            Encoder::Jsonl(writer) => {
                writer.write(&batch).map_err(encode("jsonl"))?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Encoder::Parquet(writer) => {
                writer.write(&batch).map_err(encode("parquet"))?;
                // So that a file whose reader takes nothing holds little.
                if writer.in_progress_size() >= ROW_GROUP_BYTES {
                    writer.flush().map_err(encode("parquet"))?;
                }
                Ok(std::mem::take(writer.inner_mut()))
            }
        }
    }

    /// Ends the file and gives the rest of its bytes.
    ///
    /// # Errors
    /// The encoder refuses to end.
    pub fn finish(self) -> Result<Vec<u8>> {
        match self.encoder {
            Encoder::Csv { header } => Ok(header.unwrap_or_default()),
            Encoder::Jsonl(mut writer) => {
                writer.finish().map_err(encode("jsonl"))?;
                Ok(writer.into_inner())
            }
            Encoder::Parquet(writer) => writer.into_inner().map_err(encode("parquet")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    fn written(format: FileFormat, chunks: &[&[&str]]) -> Vec<u8> {
        let mut file = MemberFile::new(format).unwrap().unwrap();
        let mut bytes = Vec::new();
        for chunk in chunks {
            let ids: Vec<String> = chunk.iter().map(|id| (*id).to_owned()).collect();
            bytes.extend(file.write(&ids).unwrap());
        }
        bytes.extend(file.finish().unwrap());
        bytes
    }

    #[test]
    fn text_forms_quote_what_needs_it_and_write_the_header_once() {
        let chunks: &[&[&str]] = &[&["a", "b,c"], &["say \"x\""]];
        assert_eq!(
            String::from_utf8(written(FileFormat::Csv, chunks)).unwrap(),
            "user_id\na\n\"b,c\"\n\"say \"\"x\"\"\"\n"
        );
        assert_eq!(
            String::from_utf8(written(FileFormat::Jsonl, chunks)).unwrap(),
            "{\"user_id\":\"a\"}\n{\"user_id\":\"b,c\"}\n{\"user_id\":\"say \\\"x\\\"\"}\n"
        );
    }

    #[test]
    fn an_empty_crowd_is_a_readable_file() {
        assert_eq!(written(FileFormat::Csv, &[]), b"user_id\n");
        assert_eq!(written(FileFormat::Jsonl, &[]), b"");
        assert_eq!(rows(written(FileFormat::Parquet, &[])), Vec::<String>::new());
    }

    #[test]
    fn parquet_reads_back_over_taken_buffers() {
        let ids: Vec<String> = (0..50_000).map(|n| format!("user-{n}")).collect();
        let mut file = MemberFile::new(FileFormat::Parquet).unwrap().unwrap();
        let mut bytes = Vec::new();
        for chunk in ids.chunks(7_000) {
            bytes.extend(file.write(chunk).unwrap());
        }
        bytes.extend(file.finish().unwrap());
        assert_eq!(rows(bytes), ids);
    }

    fn rows(bytes: Vec<u8>) -> Vec<String> {
        let mut ids = Vec::new();
        for batch in ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 1024).unwrap() {
            let batch = batch.unwrap();
            let column = batch.column(0).as_any().downcast_ref::<StringArray>().unwrap();
            ids.extend(column.iter().map(|id| id.unwrap().to_owned()));
        }
        ids
    }
}

//! The scenario's points in a file form that both sides of `crowd.build` read at once: ClickHouse's
//! Native, `(tag UInt16, user UInt32)`, in sixteen files so that it can read on all cores. Tag
//! after tag, users ascending, as a table of tags lies on disk.

use crate::crowd_spec::{Set, Spec};
use anyhow::{Context, ensure};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

const FILES: u64 = 16;

/// Rows of one block of a file.
const BLOCK: usize = 1 << 18;

/// Write them into `folder`, a file at a time.
pub(crate) fn write(spec: &Spec, folder: &Path) -> anyhow::Result<serde_json::Value> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let total: u64 = spec.scenario.tags.iter().map(Set::len).sum();
    ensure!(spec.scenario.tags.len() <= usize::from(u16::MAX), "a tag is not a UInt16");
    let mut tags = Vec::with_capacity(BLOCK);
    let mut users = Vec::with_capacity(BLOCK);
    let mut points = spec
        .scenario
        .tags
        .iter()
        .enumerate()
        .flat_map(|(tag, set)| set.users().map(move |user| (tag as u16, user)));
    for number in 0..FILES {
        let path = folder.join(format!("{number:02}.native"));
        let mut file = BufWriter::with_capacity(
            1 << 20,
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?,
        );
        let mut left = total * (number + 1) / FILES - total * number / FILES;
        while left > 0 {
            tags.clear();
            users.clear();
            for (tag, user) in points.by_ref().take(BLOCK.min(usize::try_from(left)?)) {
                tags.push(tag);
                users.push(user);
            }
            left -= tags.len() as u64;
            write_block(&mut file, &tags, &users)?;
        }
        file.flush()?;
    }
    Ok(serde_json::json!({ "points": total }))
}

fn write_block(file: &mut impl Write, tags: &[u16], users: &[u32]) -> std::io::Result<()> {
    write_varint(file, 2)?;
    write_varint(file, tags.len())?;
    write_head(file, "tag", "UInt16")?;
    tags.iter().try_for_each(|tag| file.write_all(&tag.to_le_bytes()))?;
    write_head(file, "user", "UInt32")?;
    users.iter().try_for_each(|user| file.write_all(&user.to_le_bytes()))
}

fn write_head(file: &mut impl Write, name: &str, of: &str) -> std::io::Result<()> {
    for text in [name, of] {
        write_varint(file, text.len())?;
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn write_varint(file: &mut impl Write, mut number: usize) -> std::io::Result<()> {
    while number >= 0x80 {
        file.write_all(&[number as u8 | 0x80])?;
        number >>= 7;
    }
    file.write_all(&[number as u8])
}

/// The files below a folder, in order.
pub(crate) fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "native"));
    files.sort();
    ensure!(!files.is_empty(), "no points in {}", folder.display());
    Ok(files)
}

/// The blocks of one file.
pub(crate) struct Blocks {
    file: BufReader<File>,
    bytes: Vec<u8>,
}

impl Blocks {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        // Small: columns are larger, and pass it by.
        Ok(Self { file: BufReader::with_capacity(1 << 13, file), bytes: Vec::new() })
    }

    /// The next block, in place of what `tags` and `users` held. False at the end.
    pub(crate) fn next_into(
        &mut self,
        tags: &mut Vec<u16>,
        users: &mut Vec<u32>,
    ) -> anyhow::Result<bool> {
        tags.clear();
        users.clear();
        let mut first = [0];
        if self.file.read(&mut first)? == 0 {
            return Ok(false);
        }
        ensure!(first[0] == 2, "a block of {} columns", first[0]);
        let rows = read_varint(&mut self.file)?;
        tags.extend(
            self.column(rows * 2)?.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)),
        );
        users.extend(
            self.column(rows * 4)?.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)),
        );
        Ok(true)
    }

    fn column(&mut self, length: usize) -> anyhow::Result<&[u8]> {
        read_head(&mut self.file)?;
        self.bytes.resize(self.bytes.len().max(length), 0);
        let column = &mut self.bytes[..length];
        self.file.read_exact(column)?;
        Ok(column)
    }
}

/// Skip a column's name and type.
fn read_head(file: &mut impl Read) -> anyhow::Result<()> {
    for _ in 0..2 {
        let length = read_varint(file)?;
        ensure!(length < 64, "a column's name is too long");
        file.read_exact(&mut [0; 64][..length])?;
    }
    Ok(())
}

fn read_varint(file: &mut impl Read) -> anyhow::Result<usize> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        number |= usize::from(byte[0] & 0x7F) << shift;
        if byte[0] < 0x80 {
            return Ok(number);
        }
    }
    anyhow::bail!("a number of more than nine bytes")
}

#[cfg(test)]
mod tests {
    use super::{read_varint, write_varint};

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 300, 1 << 18, usize::MAX >> 1] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, number).unwrap();
            assert_eq!(read_varint(&mut &bytes[..]).unwrap(), number);
        }
    }
}

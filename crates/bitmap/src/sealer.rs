use crate::file::{BLOCK_BYTES, VERSION, body_start_of, put_checksum};
use std::io::{Error, ErrorKind, Result, Seek, SeekFrom, Write};
use xxhash_rust::xxh3::xxh3_64;

/// Writes the file form (see [`crate::seal`]) of a body that need not be in memory as a whole.
/// Writes whole blocks.
pub struct Sealer<W: Write + Seek> {
    file: W,
    magic: [u8; 8],
    body_len: u64,
    block: Vec<u8>,
    sums: Vec<u64>,
}

impl<W: Write + Seek> Sealer<W> {
    /// A file under `magic` whose body will have `body_len` bytes; `file` is empty and at its
    /// beginning.
    ///
    /// # Errors
    /// Those of `file`.
    pub fn new(magic: &[u8; 8], body_len: u64, mut file: W) -> Result<Self> {
        // The head holds the checksums, so it is written last.
        file.write_all(&vec![0; body_start_of(usize::try_from(body_len).map_err(Error::other)?)])?;
        Ok(Self {
            file,
            magic: *magic,
            body_len,
            block: Vec::with_capacity(BLOCK_BYTES),
            sums: Vec::new(),
        })
    }

    /// Writes the head; what was written before is not a file without it.
    ///
    /// # Errors
    /// Those of `file`; `InvalidInput` when the body does not have the announced length.
    pub fn finish(mut self) -> Result<W> {
        self.end_block()?;
        let mut head = Vec::new();
        head.extend_from_slice(&self.magic);
        head.extend_from_slice(&[0; 8]);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        head.extend_from_slice(&self.body_len.to_le_bytes());
        self.sums.iter().for_each(|sum| head.extend_from_slice(&sum.to_le_bytes()));
        let body_start = body_start_of(usize::try_from(self.body_len).map_err(Error::other)?);
        head.resize(body_start, 0);
        put_checksum(&mut head);
        if self.file.stream_position()? != body_start as u64 + self.body_len {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the body does not have the announced length",
            ));
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&head)?;
        self.file.flush()?;
        Ok(self.file)
    }

    fn end_block(&mut self) -> Result<()> {
        if !self.block.is_empty() {
            self.sums.push(xxh3_64(&self.block));
            self.file.write_all(&self.block)?;
            self.block.clear();
        }
        Ok(())
    }
}

impl<W: Write + Seek> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let taken = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(taken)
    }

    /// Does nothing: a block is written when it is full, the last one by [`Sealer::finish`].
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal;
    use std::io::Cursor;

    #[test]
    fn the_bytes_are_those_of_seal() {
        for len in [0, 1, 63, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES + 17] {
            let body: Vec<u8> = (0..len).map(|at| ((at * 31) >> 3) as u8).collect();
            let mut sealer = Sealer::new(b"TAGHTEST", len as u64, Cursor::new(Vec::new())).unwrap();
            body.chunks(100_003).for_each(|piece| sealer.write_all(piece).unwrap());
            assert_eq!(sealer.finish().unwrap().into_inner(), seal(b"TAGHTEST", &body), "{len}");
            assert!(
                Sealer::new(b"TAGHTEST", len as u64 + 1, Cursor::new(Vec::new()))
                    .unwrap()
                    .finish()
                    .is_err()
            );
        }
    }
}

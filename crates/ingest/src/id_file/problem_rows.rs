//! The rows of a file that gave no user, and why, as packed CSV: rows that follow each other with
//! one problem are one line. No id stands in it: it stays when users go, and whoever sent the file has them.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{Cursor, Read, Write};

const HEADER: &str = "first_row,last_row,problem\n";
/// How much is unpacked at once.
const PIECE_BYTES: usize = 64 << 10;

/// Rows one after another.
struct Run {
    first: u64,
    last: u64,
    problem: String,
}

/// Takes rows in ascending order.
pub struct ProblemRows {
    packed: GzEncoder<Vec<u8>>,
    run: Option<Run>,
    any: bool,
}

impl Default for ProblemRows {
    fn default() -> Self {
        Self { packed: GzEncoder::new(Vec::new(), Compression::fast()), run: None, any: false }
    }
}

impl ProblemRows {
    /// Notes what is wrong with a row.
    ///
    /// # Errors
    /// It cannot be packed.
    pub fn add(&mut self, number: u64, problem: &str) -> std::io::Result<()> {
        if let Some(run) = &mut self.run
            && run.last + 1 == number
            && run.problem == problem
        {
            run.last = number;
            return Ok(());
        }
        let run = Run { first: number, last: number, problem: problem.to_owned() };
        let before = self.run.replace(run);
        before.map_or(Ok(()), |before| self.write(&before))
    }

    /// All of them, packed; `None`: there are none.
    ///
    /// # Errors
    /// It cannot be packed.
    pub fn finish(mut self) -> std::io::Result<Option<Vec<u8>>> {
        if let Some(run) = self.run.take() {
            self.write(&run)?;
        }
        if !self.any {
            return Ok(None);
        }
        self.packed.finish().map(Some)
    }

    fn write(&mut self, run: &Run) -> std::io::Result<()> {
        if !std::mem::replace(&mut self.any, true) {
            self.packed.write_all(HEADER.as_bytes())?;
        }
        let Run { first, last, problem } = run;
        let problem = problem.replace('"', "\"\"");
        writeln!(self.packed, "{first},{last},\"{problem}\"")
    }
}

/// Packed rows as CSV, a piece at a time.
pub struct UnpackedRows(Option<GzDecoder<Cursor<Vec<u8>>>>);

impl UnpackedRows {
    /// The text where each row gave a user.
    pub const NONE: &str = HEADER;

    /// `packed`: as [`ProblemRows::finish`] gives it.
    pub fn new(packed: Vec<u8>) -> Self {
        Self(Some(GzDecoder::new(Cursor::new(packed))))
    }
}

impl Iterator for UnpackedRows {
    type Item = std::io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = Vec::new();
        match self.0.as_mut()?.take(PIECE_BYTES as u64).read_to_end(&mut piece) {
            Ok(0) => None,
            Ok(_) => Some(Ok(piece)),
            Err(error) => {
                self.0 = None;
                Some(Err(error))
            }
        }
    }
}

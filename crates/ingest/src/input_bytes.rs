//! The bytes of an input file: read once, hashed as they pass, unpacked where they are gzip.

use crate::folder::{FoundFile, files_at};
use crate::row::RowReader;
use flate2::bufread::MultiGzDecoder;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use taghouse_rules::{FileGlob, SourceFormat};
use xxhash_rust::xxh3::Xxh3Default;

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// Why the reading of a file stops before its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The file cannot be read to its end: what is wrong with it. Other files go on.
    Damaged(String),
    /// The file does not fit its source: what is wrong, and the fix. Other files go on.
    Refused(String),
    /// The whole run stops.
    Run(crate::Error),
}

impl From<io::Error> for Halt {
    fn from(e: io::Error) -> Self {
        Self::Damaged(e.to_string())
    }
}

impl From<crate::Error> for Halt {
    fn from(e: crate::Error) -> Self {
        Self::Run(e)
    }
}

/// Called after each row: to hand on what is pending, and to stop.
pub(crate) type AfterRow<'a> = dyn FnMut(&mut RowReader) -> Result<(), Halt> + 'a;

/// Size and checksum (xxh3, 128 bits) of a file's raw bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) size_bytes: u64,
    /// 32 hexadecimal digits.
    pub(crate) checksum: String,
}

/// Whether the run that reads has been stopped. Asked for each piece of a file, so that nothing is read long in vain.
pub(crate) type Stopped = Arc<dyn Fn() -> bool + Send + Sync>;

/// Reads the whole file for its fingerprint only.
pub(crate) fn fingerprint(path: &Path, stopped: &Stopped) -> io::Result<Fingerprint> {
    let (mut file, digest) = HashedFile::open(path, stopped)?;
    io::copy(&mut BufReader::with_capacity(READ_BYTES, &mut file), &mut io::sink())?;
    Ok(digest.fingerprint())
}

/// A file whose bytes are hashed as they are read.
struct HashedFile {
    file: File,
    digest: Digest,
    stopped: Stopped,
}

/// What has passed so far; it is the file's once all was read.
#[derive(Clone)]
pub(crate) struct Digest(Arc<Mutex<(Xxh3Default, u64)>>);

impl Digest {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let state = self.0.lock();
        Fingerprint { size_bytes: state.1, checksum: format!("{:032x}", state.0.digest128()) }
    }
}

impl HashedFile {
    fn open(path: &Path, stopped: &Stopped) -> io::Result<(Self, Digest)> {
        let digest = Digest(Arc::new(Mutex::new((Xxh3Default::new(), 0))));
        Ok((Self { file: File::open(path)?, digest: digest.clone(), stopped: Arc::clone(stopped) }, digest))
    }
}

impl Read for HashedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.stopped)() {
            return Err(io::Error::other("the run has stopped"));
        }
        let read = self.file.read(buffer)?;
        let mut state = self.digest.0.lock();
        state.0.update(&buffer[..read]);
        state.1 += read as u64;
        Ok(read)
    }
}

/// The file's text, unpacked if its name ends in `.gz`, and its digest, which is complete once the text was read to its end.
pub(crate) fn open_text(path: &Path, stopped: &Stopped) -> io::Result<(Box<dyn Read + Send>, Digest)> {
    let (file, digest) = HashedFile::open(path, stopped)?;
    let zipped = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    let text: Box<dyn Read + Send> = if zipped {
        Box::new(Unpacked { decoder: MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, file)) })
    } else {
        Box::new(file)
    };
    Ok((text, digest))
}

/// Gzip of one or several members; its errors say that the file is damaged.
struct Unpacked<R> {
    decoder: MultiGzDecoder<R>,
}

impl<R: io::BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|e| match e.kind() {
            io::ErrorKind::Interrupted => e,
            io::ErrorKind::UnexpectedEof => io::Error::new(e.kind(), "the gzip data is cut off"),
            kind => io::Error::new(kind, format!("the gzip data is damaged: {e}")),
        })
    }
}

/// The files meant by `paths`, in name order: of a folder those that match `glob`, or by default the format's endings (see
/// [`files_at`] for its subfolders); a file that is named itself always.
///
/// # Errors
/// A path that cannot be read, two files of one name, a name that is not UTF-8.
pub(crate) fn list(paths: &[PathBuf], glob: Option<&str>, format: SourceFormat) -> crate::Result<Vec<FoundFile>> {
    let glob = glob.map(FileGlob::parse).transpose().map_err(crate::Error::Invalid)?;
    let mut found = Vec::new();
    for path in paths {
        let files = files_at(path, glob.as_ref()).map_err(|source| crate::Error::Path { path: path.clone(), source })?;
        let named_itself = |file: &FoundFile| file.path == *path;
        found.extend(files.into_iter().filter(|file| named_itself(file) || glob.is_some() || ends_as(&file.name, format)));
    }
    found.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    found.dedup();
    if let Some(pair) = found.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let (a, b) = (pair[0].path.display(), pair[1].path.display());
        return Err(crate::Error::Invalid(format!(
            "{a} and {b} have one name, by which files are known: rename one, or give the folder that holds both"
        )));
    }
    Ok(found)
}

fn ends_as(name: &str, format: SourceFormat) -> bool {
    let name = name.to_ascii_lowercase();
    let endings: &[&str] = match format {
        SourceFormat::Csv { .. } => &[".csv", ".csv.gz"],
        SourceFormat::Jsonl => &[".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"],
        SourceFormat::Parquet => &[".parquet"],
        SourceFormat::Segment => &[],
    };
    endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_name_order_and_refuses_two_of_a_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv.gz", "c.txt", "D.CSV"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(folder.path().join("sub.csv")).unwrap();
        let csv = SourceFormat::Csv { delimiter: b',', escape: None };
        let names = |paths: &[PathBuf], glob| list(paths, glob, csv).unwrap().into_iter().map(|f| f.name).collect::<Vec<_>>();
        let here = [folder.path().to_owned()];
        assert_eq!(names(&here, None), ["D.CSV", "a.csv.gz", "b.csv"]);
        assert_eq!(names(&here, Some("*.txt")), ["c.txt"]);
        assert_eq!(names(&[folder.path().join("c.txt"), folder.path().join("c.txt")], None), ["c.txt"]);
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("b.csv"), "y").unwrap();
        let twice = list(&[here[0].clone(), other.path().to_owned()], None, csv).unwrap_err();
        assert!(twice.to_string().contains("have one name"), "{twice}");
        let gone = list(&[folder.path().join("gone")], None, csv).unwrap_err();
        assert_eq!(gone.kind(), taghouse_model::ErrorKind::NotFound);
    }

    #[test]
    fn several_gzip_members_are_one_text() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv.gz");
        let mut bytes = Vec::new();
        for part in ["ab", "cd"] {
            let mut encoder = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            encoder.finish().unwrap();
        }
        std::fs::write(&path, &bytes).unwrap();
        let on: Stopped = Arc::new(|| false);
        let (mut text, digest) = open_text(&path, &on).unwrap();
        let mut all = String::new();
        text.read_to_string(&mut all).unwrap();
        assert_eq!(all, "abcd");
        assert_eq!(digest.fingerprint(), fingerprint(&path, &on).unwrap());
        assert_eq!(digest.fingerprint().size_bytes, bytes.len() as u64);
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let cut = open_text(&path, &on).unwrap().0.read_to_string(&mut all).unwrap_err();
        assert!(cut.to_string().contains("cut off"), "{cut}");
        let off: Stopped = Arc::new(|| true);
        assert!(fingerprint(&path, &off).unwrap_err().to_string().contains("stopped"));
        assert!(open_text(&path, &off).unwrap().0.read_to_string(&mut all).unwrap_err().to_string().contains("stopped"));
    }
}

//! The bytes of an input file: read once, hashed as they pass, unpacked where they are gzip.

use flate2::bufread::MultiGzDecoder;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3Default;

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// Size and checksum (xxh3, 128 bits) of a file's raw bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) size_bytes: u64,
    /// 32 hexadecimal digits.
    pub(crate) checksum: String,
}

/// Whether the run that reads has been stopped. Asked for each piece of a file, so that nothing is
/// read long in vain.
pub type Stopped = Arc<dyn Fn() -> bool + Send + Sync>;

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
        Ok((
            Self { file: File::open(path)?, digest: digest.clone(), stopped: Arc::clone(stopped) },
            digest,
        ))
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

/// The file's text, unpacked if its name ends in `.gz`, and its digest, which is complete once the
/// text was read to its end.
pub(crate) fn open_text(
    path: &Path,
    stopped: &Stopped,
) -> io::Result<(Box<dyn Read + Send>, Digest)> {
    let (file, digest) = HashedFile::open(path, stopped)?;
    let zipped = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    let text: Box<dyn Read + Send> = if zipped {
        Box::new(Unpacked {
            decoder: MultiGzDecoder::new(BufReader::with_capacity(READ_BYTES, file)),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_gzip_members_are_one_text() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv.gz");
        let mut bytes = Vec::new();
        for part in ["ab", "cd"] {
            let mut encoder =
                flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
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
        assert!(
            open_text(&path, &off)
                .unwrap()
                .0
                .read_to_string(&mut all)
                .unwrap_err()
                .to_string()
                .contains("stopped")
        );
    }
}

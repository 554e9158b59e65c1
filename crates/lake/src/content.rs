//! Names that say what an object holds: neither Parquet pages nor Avro blocks nor JSON carry a
//! checksum that every reader looks at.
//!
//! `….<16 hexadecimal digits>.parquet` and `.avro` end in a hash of their bytes. Of table metadata,
//! whose names other engines take apart, the UUID, of version 8, has such a hash as its second
//! half. Objects of other engines have other names and are taken as they are.

use uuid::{Builder, Uuid, Variant, Version};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const DIGITS: usize = 16;
const METADATA: &str = ".metadata.json";
/// What the variant leaves of a UUID's second half.
const OF_ID: u64 = u64::MAX >> 2;

/// What the name of an object says of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    hash: u64,
    /// Which bits of the hash the name has.
    mask: u64,
}

/// The path without its ending, with the hash of the bytes and the ending again.
pub(crate) fn named(path: &str, bytes: &[u8]) -> String {
    let (stem, ending) = path.rsplit_once('.').unwrap_or((path, ""));
    format!("{stem}-{:016x}.{ending}", xxh3_64(bytes))
}

/// A UUID for a metadata file of these bytes. Half of it is chance: of two writers of the same
/// bytes, one may remove its file again.
pub(crate) fn id(bytes: &[u8]) -> Uuid {
    let mut id = *Uuid::new_v4().as_bytes();
    id[8..].copy_from_slice(&xxh3_64(bytes).to_be_bytes());
    Builder::from_bytes(id).with_variant(Variant::RFC4122).with_version(Version::Custom).into_uuid()
}

impl Content {
    /// `None` for a name that says nothing.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next()?;
        if let Some(stem) = name.strip_suffix(METADATA) {
            let id = Uuid::try_parse(stem.split_once('-')?.1).ok()?;
            let hash = u64::from_be_bytes(*id.as_bytes().last_chunk()?) & OF_ID;
            return (id.get_version() == Some(Version::Custom))
                .then_some(Self { hash, mask: OF_ID });
        }
        let (stem, _) = name.rsplit_once('.')?;
        let digits = stem.rsplit('-').next().filter(|digits| digits.len() == DIGITS)?;
        u64::from_str_radix(digits, 16).ok().map(|hash| Self { hash, mask: u64::MAX })
    }

    pub(crate) fn is_of(self, bytes: &[u8]) -> bool {
        self.hash == xxh3_64(bytes) & self.mask
    }

    /// The same of bytes that were hashed piece by piece.
    pub(crate) fn is_hashed(self, hash: &Xxh3) -> bool {
        self.hash == hash.digest() & self.mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_bytes_and_other_names_say_nothing() {
        let path = named("/lake/shop/events/data/day=3/00f1.parquet", b"bytes");
        assert!(Content::of(&path).unwrap().is_of(b"bytes"));
        assert!(!Content::of(&path).unwrap().is_of(b"byte5"));
        let metadata = format!("/lake/shop/events/metadata/00012-{}.metadata.json", id(b"{}"));
        assert!(
            Content::of(&metadata).unwrap().is_of(b"{}")
                && !Content::of(&metadata).unwrap().is_of(b"[]")
        );
        assert_ne!(id(b"{}"), id(b"{}"));
        let mut hash = Xxh3::new();
        hash.update(b"{}");
        assert!(Content::of(&metadata).unwrap().is_hashed(&hash));
        for other in [
            "00001-7c9e6679-7425-40de-944b-e07fc1f90ae7.metadata.json",
            "snap-5-0-7c9e6679-7425-40de-944b-e07fc1f90ae7.avro",
            "00000-1-7c9e6679-7425-40de-944b-e07fc1f90ae7-0-00001.parquet",
            "v3.metadata.json",
        ] {
            assert_eq!(Content::of(other), None, "{other}");
        }
    }
}

//! `unseal` and `Region`: the file form. The head's checksum is put right, so that its fields are
//! reached.

use taghouse_bitmap::{Region, seal, unseal};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"TAGHFUZZ";
const BLOCK_BYTES: usize = 1 << 20;

pub fn read(data: &[u8]) {
    let mut file = data.to_vec();
    if file.len() >= 32 {
        let body = u64::from_le_bytes(file[24..32].try_into().unwrap_or_default()) as usize;
        let head = (32 + 8 * body.min(1 << 40).div_ceil(BLOCK_BYTES)).next_multiple_of(64);
        if let Some(head) = file.get(16..head) {
            let checksum = xxh3_64(head);
            file[8..16].copy_from_slice(&checksum.to_le_bytes());
        }
    }
    let file = bytes_of(file);
    let at_once = unseal(MAGIC, &file).ok();
    let lazily = Region::open("fuzz", MAGIC, file, None).ok();
    if let Some(region) = &lazily {
        let middle = region.len() / 2;
        let _ = region
            .part(middle..region.len())
            .and_then(|part| part.load(0..middle.saturating_add(9)));
    }
    let lazily = lazily.and_then(|region| region.whole().ok().cloned());
    assert_eq!(at_once, lazily, "both readers find the same");
}

fn bytes_of<T: From<Vec<u8>>>(file: Vec<u8>) -> T {
    file.into()
}

pub fn seeds() -> Vec<Vec<u8>> {
    [vec![], vec![7; 3], (0..=255).collect(), vec![0; BLOCK_BYTES + 5]]
        .iter()
        .map(|body| seal(MAGIC, body))
        .collect()
}

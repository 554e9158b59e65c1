//! The inputs that a target starts from.

use std::path::PathBuf;
use taghouse_bitmap::Bitmap;

/// With `TAGHOUSE_FUZZ_SEEDS=folder`, writes the seeds there and ends the process.
pub fn write(seeds: fn() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os("TAGHOUSE_FUZZ_SEEDS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).expect("the folder of seeds can be made");
    for (number, seed) in seeds().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("a seed can be written");
    }
    std::process::exit(0);
}

/// Sets with every kind of container, in one shard and in several.
pub fn bitmaps() -> Vec<Bitmap> {
    vec![
        Bitmap::new(),
        Bitmap::from_sorted(&[0]),
        Bitmap::from_sorted(&[1, 5, 70_000, 1 << 20, u32::MAX]),
        Bitmap::from_range(10..=200_000),
        (0..9_000).map(|n| n * 7).collect(),
        (0..700).map(|n| n * 90_001).collect(),
        Bitmap::from_range((1 << 20) - 5..=(1 << 20) + 70_000),
    ]
}

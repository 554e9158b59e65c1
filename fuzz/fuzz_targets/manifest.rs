#![no_main]
use taghouse_fuzz::{manifest, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(manifest::seeds), |data: &[u8]| { manifest::read(data) });

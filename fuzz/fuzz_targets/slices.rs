#![no_main]
use taghouse_fuzz::{seeds, slices};

libfuzzer_sys::fuzz_target!(init: seeds::write(slices::seeds), |data: &[u8]| { slices::read(data) });

#![no_main]
use taghouse_fuzz::{bitmap, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(bitmap::seeds), |data: &[u8]| { bitmap::read(data) });

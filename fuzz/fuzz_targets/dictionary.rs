#![no_main]
use taghouse_fuzz::{dictionary, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(dictionary::seeds), |data: &[u8]| { dictionary::read(data) });

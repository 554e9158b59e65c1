#![no_main]
use taghouse_fuzz::{definitions, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(definitions::seeds), |data: &[u8]| { definitions::read(data) });

#![no_main]
use taghouse_fuzz::{seeds, segment};

libfuzzer_sys::fuzz_target!(init: seeds::write(segment::seeds), |data: &[u8]| { segment::read(data) });

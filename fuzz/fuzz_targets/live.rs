#![no_main]
use taghouse_fuzz::{live, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(live::seeds), |data: &[u8]| { live::read(data) });

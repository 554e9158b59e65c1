#![no_main]
use taghouse_fuzz::{seeds, state};

libfuzzer_sys::fuzz_target!(init: seeds::write(state::seeds), |data: &[u8]| { state::read(data) });

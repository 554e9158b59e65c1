#![no_main]
use taghouse_fuzz::{sealed, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(sealed::seeds), |data: &[u8]| { sealed::read(data) });

#![no_main]
use taghouse_fuzz::{portable, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(portable::seeds), |data: &[u8]| { portable::read(data) });

#![no_main]
use taghouse_fuzz::{portable64, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(portable64::seeds), |data: &[u8]| { portable64::read(data) });

#![no_main]
use taghouse_fuzz::{log, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(log::seeds), |data: &[u8]| { log::read(data) });

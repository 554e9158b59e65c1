#![no_main]
use taghouse_fuzz::{bundle, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(bundle::seeds), |data: &[u8]| { bundle::read(data) });

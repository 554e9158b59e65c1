#![no_main]
use taghouse_fuzz::{expression, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(expression::seeds), |data: &[u8]| { expression::read(data) });

#![no_main]
use taghouse_fuzz::{expression_json, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(expression_json::seeds), |data: &[u8]| { expression_json::read(data) });

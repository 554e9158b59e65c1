#![no_main]
use taghouse_fuzz::{feed, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(feed::seeds), |data: &[u8]| { feed::read(data) });

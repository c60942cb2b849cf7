//! Heat's list of engines, and its refusals.
#![no_main]

use cloudtenant_operator::{observation::engine_answers::EngineAnswer, probe::engines};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::constant(1_795_320_000, 0);

fuzz_target!(|body: &[u8]| {
    for status in [200, 503] {
        if let Some(Ok(EngineAnswer::Listed(list))) = engines::parse(status, body, NOW, NOW) {
            assert!(list.rows.len() <= 10_000);
        }
    }
});

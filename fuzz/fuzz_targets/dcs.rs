//! DCS's counts.
#![no_main]

use cloudtenant_operator::probe::caches;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(caches) = caches::parse(body) {
        assert!(caches.all.counts().iter().all(|(_, count)| *count >= 0));
        assert!(caches.kinds.len() <= 20 && caches.all.other.len() <= 20);
    }
});

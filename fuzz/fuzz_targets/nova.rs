//! Nova's usage, with the link to the next page.
#![no_main]

use cloudtenant_operator::probe::usage::{self, Sum, Window};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::constant(1_795_320_000, 0);

fuzz_target!(|body: &[u8]| {
    let Ok(page) = usage::parse(body) else { return };
    assert!(page.next_marker().ok().flatten().is_none_or(|marker| marker.len() <= 255));
    let mut sum = Sum::new(Window { start: NOW, end: NOW });
    if sum.add(page).is_ok() {
        let usage = sum.finish(true);
        let hours = [usage.server_hours, usage.vcpu_hours, usage.memory_mb_hours, usage.disk_gb_hours];
        assert!(hours.iter().all(|hours| (0.0..=1e15).contains(hours)));
        assert!(usage.by_flavor.len() <= 20);
    }
});

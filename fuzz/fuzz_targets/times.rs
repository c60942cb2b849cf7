//! Times of services, and the headers `Date` and `Retry-After`.
#![no_main]

use std::time::Duration;

use cloudtenant_operator::openstack::{openstack_time, readers};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    assert!(openstack_time(text).is_none_or(|time| time >= Timestamp::UNIX_EPOCH));
    let (date, retry_after) = text.split_once('\n').unwrap_or(("", text));
    assert!(readers::retry_after(date, retry_after).is_none_or(|wait| wait <= Duration::from_secs(3600)));
});

//! Times, durations, proxies and messages.

use std::{hint::black_box, str};

use cloudtenant_operator::{
    api::{GoDuration, Reason},
    decide::condition,
    openstack::{ProxyRule, openstack_time, readers},
};
use jiff::Timestamp;

use super::measure::{Case, Shape, cases, same};

const TIMES: &[Shape] = &[
    same!("digits", "", "1", ""),
    same!("years", "2026-", "11-", ""),
    same!("fractions", "2026-11-22T05:09:46.", "1", "Z"),
    same!("spaces", "2026-11-22 ", " ", "05:09:46"),
    same!("zones", "2026-11-22T05:09:46", "+01:00", ""),
    same!("annotations", "2026-11-22T05:09:46Z", "[a=b]", ""),
    same!("days", "Sun, ", "Sun, ", "22 Nov 2026 05:10:00 GMT"),
    same!("comments", "Sun, 22 Nov 2026 05:10:00 GMT ", "(", ")"),
    same!("spaces around", "", " ", "120"),
    same!("minus signs", "", "-", ""),
];

const DURATIONS: &[Shape] = &[
    same!("hours", "", "1h", ""),
    same!("zeros", "", "0", "s"),
    same!("fractions", "0.", "1", "s"),
    same!("points", "", ".", "s"),
    same!("letters", "1", "s", ""),
];

const RULES: &[Shape] = &[
    same!("one host", "", "a", "=http://proxy"),
    same!("labels", "*.", "a.", "a=http://proxy"),
    same!("stars", "", "*", "=http://proxy"),
    same!("brackets", "", "[", "]=http://proxy"),
    same!("equal signs", "host", "=", "http://proxy"),
    same!("path", "host=http://proxy/", "../a/", ""),
    same!("user", "host=http://", "u:p@", "proxy"),
    same!("escapes", "host=http://proxy/", "%2e%2e/", ""),
];

const MESSAGES: &[Shape] =
    &[same!("letters", "", "a", ""), same!("wide characters", "", "ü", ""), same!("spaces", "", " ", "")];

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

pub fn cases_of_all() -> Vec<Case> {
    let time = |bytes: &[u8]| black_box(openstack_time(text(bytes)));
    let date = |bytes: &[u8]| black_box(readers::headers(text(bytes), "120"));
    let retry_after = |bytes: &[u8]| black_box(readers::headers("Sun, 22 Nov 2026 05:09:00 GMT", text(bytes)));
    let duration = |bytes: &[u8]| black_box(GoDuration::from(text(bytes)).parse());
    let rule = |bytes: &[u8]| black_box(text(bytes).parse::<ProxyRule>());
    let message = |bytes: &[u8]| {
        black_box(condition::next(&[], "Ready", "False", Reason::Healthy, text(bytes), 1, Timestamp::UNIX_EPOCH));
    };
    let plain = ("", "");
    [
        cases("time", plain, 4096, TIMES, time),
        cases("Date", plain, 4096, TIMES, date),
        cases("Retry-After", plain, 4096, TIMES, retry_after),
        cases("duration", plain, 4096, DURATIONS, duration),
        cases("proxy", plain, 4096, RULES, rule),
        cases("message", plain, 4096, MESSAGES, message),
    ]
    .into_iter()
    .flatten()
    .collect()
}

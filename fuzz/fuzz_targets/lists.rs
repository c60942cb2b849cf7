//! Long lists that are parsed while they arrive: parts of any length give what the whole gives.
#![no_main]

use cloudtenant_operator::{
    observation::engine_answers::EngineAnswer,
    probe::{
        engines,
        usage::{self, Sum, Window},
    },
};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::constant(1_795_320_000, 0);

fn rows<E>(answer: Result<EngineAnswer, E>) -> Option<String> {
    answer.ok().map(|answer| format!("{answer:?}"))
}

fn hours<E>(page: Result<usage::Page, E>) -> Option<String> {
    let page = page.ok()?;
    let marker = format!("{:?}", page.next_marker().ok());
    let mut sum = Sum::new(Window { start: NOW, end: NOW });
    let added = sum.add(page).is_ok();
    Some(format!("{marker} {added} {:?}", sum.finish(true)))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((least, body)) = bytes.split_first() else { return };
    let least = usize::from(*least) + 1;
    let whole = engines::parse(200, body, NOW, NOW).unwrap();
    assert_eq!(rows(whole), rows(engines::parse_in_parts(body, least, NOW)));
    assert_eq!(hours(usage::parse(body)), hours(usage::parse_in_parts(body, least)));
});

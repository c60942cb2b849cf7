//! What reading a text costs, and how that grows.

use std::{alloc::System, hint::black_box, time::Duration};

use cpu_time::ThreadTime;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LONGER: usize = 16;
const COSTLIER: f64 = 24.0;
const RUNS: usize = 3;

/// A shorter time depends on the load of the machine: the reading is repeated until it takes as long.
const LEAST_TIME: Duration = Duration::from_millis(2);

/// Fewer bytes are the reader's own, whatever it reads.
const LEAST_BYTES: usize = 4096;

pub type Read = Box<dyn Fn(&[u8])>;

/// A reader and one shape of hostile text.
pub struct Case {
    pub name: String,
    /// The length of the shorter text, about.
    pub length: usize,
    /// Makes a text of about so many bytes.
    pub make: Box<dyn Fn(usize) -> Vec<u8>>,
    pub read: Read,
}

#[derive(Debug, Clone, Copy)]
struct Cost {
    time: Duration,
    bytes: usize,
}

/// The best of three; fewer runs where that is `enough`.
fn cost(read: &Read, text: &[u8], times: u32, enough: impl Fn(Cost) -> bool) -> Cost {
    let mut best = Cost { time: Duration::MAX, bytes: usize::MAX };
    for _ in 0..RUNS {
        let (region, began) = (Region::new(ALLOCATOR), ThreadTime::now());
        for _ in 0..times {
            read(text);
        }
        let (time, bytes) = (began.elapsed(), region.change().bytes_allocated);
        best = Cost { time: best.time.min(time), bytes: best.bytes.min(bytes) };
        if enough(best) {
            break;
        }
    }
    best
}

/// How the case grows too fast; `None` where it does not.
pub fn failure(case: &Case) -> Option<String> {
    let (short, long) = ((case.make)(case.length), (case.make)(case.length * LONGER));
    let ratio = long.len() as f64 / short.len() as f64;
    assert!((12.0..=16.5).contains(&ratio), "{}: the test's own texts grow by {ratio:.1}", case.name);
    let once = cost(&case.read, &short, 1, |_| true).time.max(Duration::from_nanos(100));
    let times = (LEAST_TIME.as_nanos() / once.as_nanos() + 1).try_into().unwrap();
    let before = cost(&case.read, &short, times, |_| false);
    let grown = |after: Cost| {
        let time = after.time.as_secs_f64() / before.time.as_secs_f64();
        (time, after.bytes as f64 / before.bytes.max(LEAST_BYTES * times as usize) as f64)
    };
    let is_linear = |after| grown(after).0 <= COSTLIER && grown(after).1 <= COSTLIER;
    let after = cost(&case.read, &long, times, is_linear);
    let (time, bytes) = grown(after);
    let line = format!("{}, {} bytes: time x {time:.1}, bytes x {bytes:.1}", case.name, case.length);
    println!("{line}, {:?} and {} bytes in the end", after.time / times, after.bytes / times as usize);
    (!is_linear(after)).then_some(line)
}

/// What a text has many of.
#[derive(Clone, Copy)]
pub struct Shape {
    pub name: &'static str,
    pub open: &'static str,
    /// The part that is repeated, by its number.
    pub part: fn(usize) -> String,
    pub close: &'static str,
}

/// The same part again and again.
macro_rules! same {
    ($name:literal, $open:expr, $part:expr, $close:expr) => {
        $crate::measure::Shape { name: $name, open: $open, part: |_| $part.to_owned(), close: $close }
    };
}

/// Parts with a number in each.
macro_rules! numbered {
    ($name:literal, $open:expr, $part:literal, $close:expr) => {
        $crate::measure::Shape { name: $name, open: $open, part: |n| format!($part, n = n), close: $close }
    };
}

pub(crate) use numbered;
pub(crate) use same;

/// A reader whose result is not optimized away.
pub fn reader_of<T: 'static>(read: impl Fn(&[u8]) -> T + 'static) -> Read {
    Box::new(move |text| {
        black_box(read(text));
    })
}

/// One case for each shape, between `begin` and `end`.
pub fn cases<T: 'static>(
    reader: &str,
    (begin, end): (&'static str, &'static str),
    length: usize,
    shapes: &[Shape],
    read: impl Fn(&[u8]) -> T + Clone + 'static,
) -> Vec<Case> {
    let case = |shape: &Shape| {
        let Shape { name, open, part, close } = *shape;
        let make = move |length: usize| {
            let mut text = format!("{begin}{open}");
            for number in 0.. {
                if text.len() >= length {
                    break;
                }
                text.push_str(&part(number));
            }
            format!("{text}{close}{end}").into_bytes()
        };
        Case { name: format!("{reader}: {name}"), length, make: Box::new(make), read: reader_of(read.clone()) }
    };
    shapes.iter().map(case).collect()
}

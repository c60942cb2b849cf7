//! Every reader of foreign text is linear: an input of 16 times the length costs at most 24 times as much, by the CPU
//! time of the thread and by the bytes that the allocator was asked for.
//!
//! Clouds and Secrets are written by others. A reader that grows faster lets a few kilobytes stop the process.

// clippy.toml lets tests unwrap, but not the helpers of an integration test.
#![allow(clippy::unwrap_used)]

mod certificates;
mod json;
mod measure;
mod text;
mod yaml;

use measure::Case;

/// One test, so that nothing else runs in this process: the allocator counts for all threads together.
#[test]
fn no_reader_costs_more_than_24_times_as_much_for_16_times_the_input() {
    let cases = [json::cases_of_all(), yaml::cases_of_all(), text::cases_of_all(), certificates::cases_of_all()];
    let cases: Vec<Case> = cases.into_iter().flatten().collect();
    // Processes beside this one take the processor's caches, so a case has to fail three times.
    let failure = |case: &Case| (0..2).try_fold(measure::failure(case)?, |_, _| measure::failure(case));
    let failures: Vec<String> = cases.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{} of {} grow too fast:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

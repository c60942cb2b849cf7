//! What the operator says of what it sees, as tables whose rows read as the specification.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod counting;
mod credentials;
mod engine_stories;
mod events;
mod failures;
mod gates;
mod kstatus;
mod machine;
mod memory;
mod passes;
mod periods;
mod places;
mod properties;
mod recordings;
mod refusals;
mod services;
mod sets;
mod story;
mod values;
#[path = "../gitops/verdict.rs"]
mod verdict;
mod verdicts;
mod words;
mod world;

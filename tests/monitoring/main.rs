//! The alerts and the dashboard, held to Prometheus' and Grafana's own programs, and to a running operator.
//!
//! Where Prometheus is not installed, what needs it is skipped and says so, unless `CI` is `true`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod alerts;
mod board;
mod killed;
#[allow(dead_code)]
#[path = "../cluster/lab.rs"]
mod lab;
mod live;
mod overwritten;
mod prometheus;
#[allow(dead_code)]
#[path = "../gitops/verdict.rs"]
mod verdict;
#[path = "../cluster/witness.rs"]
mod witness;

//! The operator's program as its ServiceAccount, in a real control plane, against a simulated cloud.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod account;
mod documents;
mod floods;
mod frugal;
mod gates;
mod helm;
mod installed;
mod kubectl;
mod lab;
mod lifecycle;
mod link;
mod lists;
mod malformed;
mod many;
mod odd_metadata;
mod projects;
mod replicas;
mod rights;
mod shards;
mod stop;
mod stored;
mod subjects;
mod trouble;
mod validation;
#[path = "../gitops/verdict.rs"]
mod verdict;
mod witness;

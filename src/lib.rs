//! Reports the health and the usage of OpenStack tenants as Kubernetes resources.
//!
//! A `CloudTenant` goes through the operator in one direction, and each station is one module:
//!
//! ```text
//! CloudTenant ──> Target ──> Cloud ──> probes ──> Observed ──> Decision ──> events, status, metrics
//!   (api)        (target)   (observe, clouds,      (decide)    (decide)      (reconcile, writer)
//!                            handles, probe/*)
//!                  pure        I/O               plain data     pure              I/O
//! ```
//!
//! One pass over a tenant is four calls in [`reconcile`]: resolve its cloud and [`observe`] it, [`decide`], write. Only
//! the stations marked I/O know HTTP, tokio or a Kubernetes client. What lasts between two passes is in two types:
//! [`decide::Memory`] is plain data for decisions, and [`handles::Handles`] holds the queries and subscriptions. Beside
//! the line stands one thing: Heat's list of engines belongs to the cloud and not to the tenant, so [`clouds`] keeps one
//! task for each credential that asks for it, and the tenants' passes read its latest answers.
//!
//! Around it, [`run`] is the process' life: the CRD is checked ([`schema`]), the Lease is waited for ([`leader`]), and
//! the [`controller`] runs while it is held.

pub mod api;
pub mod api_server;
pub mod budget;
pub mod candidate;
pub mod check;
pub mod cloud;
pub mod clouds;
pub mod condition;
pub mod context;
pub mod controller;
pub mod decide;
pub mod event;
pub mod failure;
pub mod handles;
pub mod identity;
pub mod leader;
pub mod metrics;
pub mod object;
pub mod observation;
pub mod observe;
pub mod panics;
pub mod probe;
pub mod reconcile;
pub mod rights;
pub mod roster;
pub mod run;
pub mod schedule;
pub mod schema;
pub mod secret_watch;
pub mod secrets;
pub mod server;
pub mod status;
pub mod target;
pub mod trust;
pub mod verify;
pub mod writer;

//! Reports the health and the usage of OpenStack tenants as Kubernetes resources.
//!
//! A `CloudTenant` goes through the operator in one direction:
//!
//! ```text
//! CloudTenant ──> Target ──> clouds, probes ──> Observed ──> decide ──> status, events, metrics
//!   (api)        (target)   (clouds, openstack,  (decide)    (decide)   (cluster::writer)
//!                            probe)
//!                  pure        I/O              plain data     pure        I/O
//! ```
//!
//! One pass over a CloudTenant is four calls in [`cluster::reconcile`]: resolve its cloud, observe it
//! ([`cluster::observe`]), [`decide`](decide::decide), write. Only the parts marked I/O know HTTP, tokio or a Kubernetes
//! client. Two types last between two passes: [`decide::Memory`] is plain data for decisions, and
//! [`clouds::handles::Handles`] holds the queries and subscriptions. Heat's list of engines belongs to the cloud and not to
//! the CloudTenant: [`clouds`] keeps one task for each credential that asks for it, and the passes read its latest answer.
//!
//! Around it, [`process::run`] is the life of the process: it checks the CustomResourceDefinition ([`cluster::schema`]),
//! waits for the Lease ([`cluster::leader`]), and runs the [`cluster::controller`] while it holds the Lease. Passes and
//! queries take places in turn by namespace ([`share`]).
//!
//! The groups below import only from groups above them in `tests/layering.rs`.

pub mod api;
pub mod budget;
pub mod clouds;
pub mod cluster;
pub mod decide;
pub mod identity;
pub mod metrics;
pub mod observation;
pub mod openstack;
pub mod panics;
pub mod probe;
pub mod process;
pub mod shard;
pub mod share;
pub mod target;
pub mod trust;
pub mod watched;
pub mod words;

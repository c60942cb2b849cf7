//! The chart in `charts/`, and the manifests in `deploy/`, which are the same for kustomize: what Helm and a real API
//! server say to them, and that they grant no more than is needed.

// clippy.toml lets tests unwrap and panic, but not the helpers of an integration test.
#![allow(clippy::panic, clippy::unwrap_used)]

mod can_i;
mod generated;
mod helm;
mod lifecycle;
mod lint;
mod manifests;
mod program;
mod refused;
mod rights;
mod server;
mod tenant_sets;
mod umbrella;

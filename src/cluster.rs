//! Everything that uses the Kubernetes API: watches, Secrets, status, events, leader election, rights and the CRD.

pub mod api_server;
pub mod context;
pub mod controller;
mod doubt;
pub mod leader;
pub mod observe;
mod passes;
pub mod readiness;
pub mod reconcile;
pub mod rights;
pub mod schema;
pub mod secret_watch;
pub mod secrets;
pub mod sets;
pub mod standby;
pub mod verify;
pub mod writer;

//! Computes what one pass over a CloudTenantSet concludes, as pure functions.
//!
//! A pass takes these steps: [`SetTarget::new`], list the projects, [`Selection::new`], [`SetMemory::note`], [`plan()`], [`asks`] and
//! [`prune()`], [`writes::Attempts::order`], [`status::reserved`] before deletions, [`event::of_writes`] after the writes,
//! and [`status::compute`] with [`event::transitions`] at the end.

pub mod child;
pub mod event;
mod filter;
pub mod name;
mod plan;
mod prune;
pub mod status;
mod target;
mod unread;
pub mod writes;

pub use child::{Child, Claims, OtherSet, Ownership};
pub use filter::{Filter, Selection};
pub use plan::{Apply, Input, Plan, plan, unread};
pub use prune::{Basis, Deletion, Held, Pruned, SetMemory, asks, given_back, prune};
pub use target::SetTarget;
pub use unread::Unread;
